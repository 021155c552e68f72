#include "config/glob.h"

#include <algorithm>
#include <limits>
#include <system_error>

#include "base/strings.h"

namespace genflow {

namespace fs = std::filesystem;

namespace {

constexpr size_t kMaxAlternatives = 1000;
constexpr size_t kMaxFiles = 1'000'000;

bool IsLead(char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }

// End of the code point that starts at `at`.
size_t NextPoint(std::string_view text, size_t at) {
  do ++at;
  while (at < text.size() && !IsLead(text[at]));
  return at;
}

// Index behind the ']' of a class that starts at `at`, or npos.
size_t ClassEnd(std::string_view pattern, size_t at) {
  size_t i = at + 1;
  if (i < pattern.size() && (pattern[i] == '!' || pattern[i] == '^')) ++i;
  if (i < pattern.size() && pattern[i] == ']') ++i;
  while (i < pattern.size() && pattern[i] != ']') ++i;
  return i < pattern.size() ? i + 1 : std::string_view::npos;
}

// Whether a single-byte character is in the class pattern[at, end).
bool InClass(std::string_view pattern, size_t at, size_t end, char c) {
  size_t i = at + 1;
  const bool negated = pattern[i] == '!' || pattern[i] == '^';
  if (negated) ++i;
  bool found = false;
  while (i < end - 1) {
    if (i + 2 < end - 1 && pattern[i + 1] == '-') {
      found = found || (pattern[i] <= c && c <= pattern[i + 2]);
      i += 3;
    } else {
      found = found || pattern[i] == c;
      ++i;
    }
  }
  return found != negated;
}

// One name against one part of a pattern, without braces. The last '*' is retried with one more character
// for as long as it takes: time is at most the product of the lengths.
bool MatchName(std::string_view pattern, std::string_view name) {
  if (name.starts_with('.') && !pattern.starts_with('.') && !pattern.starts_with("\\.")) return false;
  size_t p = 0, n = 0, star = std::string_view::npos, resume = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = n;
      continue;
    }
    bool matched = false;
    size_t next_p = p + 1, next_n = NextPoint(name, n);
    if (p < pattern.size()) {
      if (pattern[p] == '?') {
        matched = true;
      } else if (pattern[p] == '[' && ClassEnd(pattern, p) != std::string_view::npos) {
        next_p = ClassEnd(pattern, p);
        matched = InClass(pattern, p, next_p, name[n]);
      } else {
        if (pattern[p] == '\\' && p + 1 < pattern.size()) ++p, ++next_p;
        matched = pattern[p] == name[n];
        next_n = n + 1;
      }
    }
    if (matched) {
      p = next_p;
      n = next_n;
    } else if (star != std::string_view::npos) {
      resume = NextPoint(name, resume);
      n = resume;
      p = star + 1;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

bool MatchParts(const std::vector<std::string_view>& pattern, size_t p,
                const std::vector<std::string_view>& path, size_t n) {
  size_t star = std::string_view::npos, resume = 0;
  while (n < path.size()) {
    if (p < pattern.size() && pattern[p] == "**") {
      star = p++;
      resume = n;
    } else if (p < pattern.size() && MatchName(pattern[p], path[n])) {
      ++p;
      ++n;
    } else if (star != std::string_view::npos && !path[resume].starts_with('.')) {
      n = ++resume;
      p = star + 1;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == "**") ++p;
  return p == pattern.size();
}

// {a,b} written out; false when a brace is not closed or there are too many alternatives.
bool ExpandBraces(std::string_view pattern, std::vector<std::string>* out) {
  size_t open = std::string_view::npos;
  for (size_t i = 0; i < pattern.size() && open == std::string_view::npos; ++i) {
    if (pattern[i] == '\\')
      ++i;
    else if (pattern[i] == '{')
      open = i;
  }
  if (open == std::string_view::npos) {
    out->emplace_back(pattern);
    return out->size() <= kMaxAlternatives;
  }
  std::vector<size_t> cuts = {open};
  int depth = 0;
  size_t close = std::string_view::npos;
  for (size_t i = open; i < pattern.size(); ++i) {
    if (pattern[i] == '\\')
      ++i;
    else if (pattern[i] == '{')
      ++depth;
    else if (pattern[i] == ',' && depth == 1)
      cuts.push_back(i);
    else if (pattern[i] == '}' && --depth == 0) {
      close = i;
      break;
    }
  }
  if (close == std::string_view::npos) return false;
  cuts.push_back(close);
  for (size_t i = 0; i + 1 < cuts.size(); ++i) {
    std::string one(pattern.substr(0, open));
    one += pattern.substr(cuts[i] + 1, cuts[i + 1] - cuts[i] - 1);
    one += pattern.substr(close + 1);
    if (!ExpandBraces(one, out)) return false;
  }
  return true;
}

std::string Unescape(std::string_view part) {
  std::string out;
  for (size_t i = 0; i < part.size(); ++i) {
    if (part[i] == '\\' && i + 1 < part.size()) ++i;
    out += part[i];
  }
  return out;
}

std::vector<std::string_view> Parts(std::string_view path) {
  std::vector<std::string_view> out;
  for (std::string_view part : Split(path, '/')) {
    if (!part.empty() && part != ".") out.push_back(part);
  }
  return out;
}

class Walker {
 public:
  // Stops when `enough` files are found.
  Walker(const fs::path& base, size_t enough, std::vector<std::string>* found)
      : base_(base), enough_(enough), found_(found) {}

  // Adds the files below `at` ("" or "a/b/") that match parts[index...].
  Status Walk(const std::string& at, const std::vector<std::string_view>& parts, size_t index) {
    if (index == parts.size()) return Ok();
    const std::string_view part = parts[index];
    const bool last = index + 1 == parts.size();
    if (part == "**") {
      if (!last) GF_CHECK_OK(Walk(at, parts, index + 1));
      return Each(at, [&](const fs::directory_entry& entry, const std::string& name) -> Status {
        if (name.starts_with('.')) return Ok();
        std::error_code error;
        if (entry.is_directory(error) && !entry.is_symlink(error)) return Walk(at + name + "/", parts, index);
        if (last && entry.is_regular_file(error)) return Add(at + name);
        return Ok();
      });
    }
    if (!HasGlob(part)) return Step(at + Unescape(part), parts, index);
    return Each(at, [&](const fs::directory_entry&, const std::string& name) -> Status {
      return MatchName(part, name) ? Step(at + name, parts, index) : Ok();
    });
  }

 private:
  // `path` matches parts[index].
  Status Step(const std::string& path, const std::vector<std::string_view>& parts, size_t index) {
    std::error_code error;
    const fs::file_status status = fs::status(base_ / path, error);
    if (fs::is_directory(status)) {
      if (index + 1 < parts.size()) return Walk(path + "/", parts, index + 1);
      static const std::vector<std::string_view> everything = {"**"};
      return Walk(path + "/", everything, 0);
    }
    if (index + 1 == parts.size() && fs::is_regular_file(status)) return Add(path);
    return Ok();
  }

  template <class Visit>
  Status Each(const std::string& at, Visit visit) {
    std::error_code error;
    const fs::path folder = at.empty() ? base_ : base_ / at;
    fs::directory_iterator it(folder, error);
    if (error == std::errc::no_such_file_or_directory || error == std::errc::not_a_directory) return Ok();
    for (const fs::directory_iterator end; !error && it != end && found_->size() < enough_;
         it.increment(error)) {
      GF_CHECK_OK(visit(*it, it->path().filename().string()));
    }
    if (error) return MakeError(Code::kIo, folder.string() + ": " + error.message());
    return Ok();
  }

  Status Add(const std::string& path) {
    if (found_->size() >= kMaxFiles)
      return InvalidError("the pattern matches more than " + WithCommas(kMaxFiles) + " files");
    found_->push_back(path);
    return Ok();
  }

  const fs::path& base_;
  const size_t enough_;
  std::vector<std::string>* found_;
};

Result<std::vector<std::string>> Find(const fs::path& base, std::string_view pattern, size_t enough) {
  std::vector<std::string> patterns, found;
  if (!ExpandBraces(pattern, &patterns)) {
    return InvalidError("the pattern '" + std::string(pattern) + "' has a '{' without '}', or more than " +
                        std::to_string(kMaxAlternatives) + " alternatives");
  }
  Walker walker(base, enough, &found);
  for (const std::string& one : patterns) {
    if (found.size() >= enough) break;
    GF_CHECK_OK(walker.Walk(one.starts_with('/') ? "/" : "", Parts(one), 0));
  }
  return found;
}

}  // namespace

bool HasGlob(std::string_view pattern) {
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] == '\\')
      ++i;
    else if (std::string_view("*?[{").find(pattern[i]) != std::string_view::npos)
      return true;
  }
  return false;
}

bool GlobMatch(std::string_view pattern, std::string_view path) {
  std::vector<std::string> patterns;
  if (!ExpandBraces(pattern, &patterns) || pattern.starts_with('/') != path.starts_with('/')) return false;
  const std::vector<std::string_view> names = Parts(path);
  return std::any_of(patterns.begin(), patterns.end(),
                     [&](const std::string& one) { return MatchParts(Parts(one), 0, names, 0); });
}

Result<std::vector<std::string>> ExpandGlob(const fs::path& base, std::string_view pattern) {
  GF_TRY(std::vector<std::string> found, Find(base, pattern, std::numeric_limits<size_t>::max()));
  std::sort(found.begin(), found.end());
  found.erase(std::unique(found.begin(), found.end()), found.end());
  return found;
}

Result<std::vector<std::string>> FirstGlobMatch(const fs::path& base, std::string_view pattern) {
  return Find(base, pattern, 1);
}

}  // namespace genflow
