#include "text/personal_data.h"

namespace genflow::text {
namespace {

constexpr PersonalDataPattern kPatterns[] = {
    {"email", R"((?<![\w.+-])\w[\w.%+-]{0,63}@(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,63})", "@"},
    // International numbers of at least eight digits, and North American ones in groups.
    {"phone",
     R"((?<![\w.+-])(?:\+(?=(?:[ .()-]{0,2}\d){8})[1-9]\d{0,2}(?:[ .-]?\(?\d{1,4}\)?){2,5})"
     R"(|(?:1[ .-])?(?:\(\d{3}\) ?|\d{3}[ .-])\d{3}[ .-]\d{4})(?!\w|-\w|\.\d))",
     "0123456789"},
    {"iban", R"(\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b)", "0123456789"},
    {"credit_card", R"((?<![\w.-])\d(?:[ -]?\d){12,18}(?![\w-])(?!\.\d))", "0123456789"},
    {"ssn", R"((?<![\w-])(?!000|666|9\d\d)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\w-]))", "-"},
    // Four dotted numbers after "version" are a version.
    {"ip",
     R"((?<![\w.])(?<!version )(?<!Version )(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d))"
     R"((?!\w|\.\d))",
     "."},
    {"ip",
     R"((?<![\w:.])(?:(?:[0-9A-Fa-f]{1,4}:){7}[0-9A-Fa-f]{1,4}|(?:[0-9A-Fa-f]{1,4}:){1,6}(?::[0-9A-Fa-f]{1,4}){1,6}))"
     R"((?![\w:]))",
     ":"},
    // Private keys in PEM, also cut short.
    {"api_key",
     R"(-----BEGIN [A-Z ]*PRIVATE KEY-----(?:[^-]++|-(?!----END))*+-----END [A-Z ]*PRIVATE KEY-----)", "-"},
    {"api_key",
     R"(-----BEGIN [A-Z ]*PRIVATE KEY-----(?!(?:[^-]++|-(?!----END))*+-----END [A-Z ]*PRIVATE KEY))", "-",
     false},
    // AWS.
    {"api_key", R"((?<![A-Za-z0-9])(?:AKIA|ASIA)[0-9A-Z]{16}(?![A-Za-z0-9]))", "A"},
    // OpenAI, Anthropic, Stripe: with a digit or capital, which tells them from words joined by hyphens.
    {"api_key", R"((?<![A-Za-z0-9])(?:sk|pk|rk)[-_](?=[a-z_-]*[0-9A-Z])[A-Za-z0-9_-]{20,})", "-_"},
    // GitHub, GitLab.
    {"api_key",
     R"((?<![A-Za-z0-9])(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,}|glpat-[A-Za-z0-9_-]{20,}))",
     "_-"},
    // Slack, Google, Hugging Face.
    {"api_key", R"((?<![A-Za-z0-9])xox[abprs]-[A-Za-z0-9-]{10,})", "-"},
    {"api_key", R"((?<![A-Za-z0-9])AIza[0-9A-Za-z_-]{35})", "A"},
    {"api_key", R"((?<![A-Za-z0-9])hf_[A-Za-z0-9]{30,})", "_"},
    // JSON web tokens.
    {"api_key", R"((?<![A-Za-z0-9])eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,})", "."},
};

}  // namespace

std::span<const PersonalDataPattern> PersonalDataPatterns() { return kPatterns; }

}  // namespace genflow::text
