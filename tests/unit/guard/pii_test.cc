#include "guard/pii.h"

#include <gtest/gtest.h>

namespace genflow::guard {
namespace {

// "type:text" of everything found.
std::vector<std::string> Found(std::string_view text) {
  std::vector<std::string> out;
  const auto found = FindPii(text).value();
  for (const auto& item : found) out.push_back(item.type + ":" + item.text);
  return out;
}

using Strings = std::vector<std::string>;

TEST(Pii, Positives) {
  const std::pair<std::string, std::string> cases[] = {
      {"Write to Jane.Doe+lists@mail.acme-corp.co.uk, please.", "email:Jane.Doe+lists@mail.acme-corp.co.uk"},
      {"<bob@gmail.com>", "email:bob@gmail.com"},
      {"Call (212) 867-5309 now", "phone:(212) 867-5309"},
      {"Call 212-867-5309.", "phone:212-867-5309"},
      {"1-212-867-5309", "phone:1-212-867-5309"},
      {"Tel. +49 30 901820 0", "phone:+49 30 901820 0"},
      {"+442079460123", "phone:+442079460123"},
      {"IBAN: DE89 3704 0044 0532 0130 00", "iban:DE89 3704 0044 0532 0130 00"},
      {"GB82WEST12345698765432", "iban:GB82WEST12345698765432"},
      {"ES91 2100 0418 4502 0005 1332 THANKS", "iban:ES91 2100 0418 4502 0005 1332"},
      {"card 4111 1111 1111 1111 exp", "credit_card:4111 1111 1111 1111"},
      {"4111 1111 1111 1111 12/26", "credit_card:4111 1111 1111 1111"},
      {"5500-0000-0000-0004", "credit_card:5500-0000-0000-0004"},
      {"378282246310005", "credit_card:378282246310005"},
      {"SSN: 536-22-8726.", "ssn:536-22-8726"},
      {"server 8.8.8.8 is up", "ip:8.8.8.8"},
      {"at 2606:4700:4700::1111", "ip:2606:4700:4700::1111"},
      {"key "
       "AK"
       "IAIOSFODNN7EXAMPLQ",
       "api_key:AK"
       "IAIOSFODNN7EXAMPLQ"},
      {"gh"
       "p_abcdefghijklmnopqrstuvwxyz0123456789",
       "api_key:gh"
       "p_abcdefghijklmnopqrstuvwxyz0123456789"},
      {"s"
       "k-proj-Ab3dEf6hIj9lMn2pQr5tUv8x",
       "api_key:s"
       "k-proj-Ab3dEf6hIj9lMn2pQr5tUv8x"},
      {"s"
       "k-proj-Ab3_dEf6hIj9-lMn2pQr5_tUv8x",
       "api_key:s"
       "k-proj-Ab3_dEf6hIj9-lMn2pQr5_tUv8x"},
      {"glpat-Ab3dEf6hIj9lMn2pQr5t", "api_key:glpat-Ab3dEf6hIj9lMn2pQr5t"},
      {"-----BEGIN "
       "RSA PRIVATE KEY-----\nMII",
       "api_key:-----BEGIN "
       "RSA PRIVATE KEY-----"},
      {"-----BEGIN "
       "PRIVATE KEY-----\nMII\n-----END PRIVATE KEY-----\n",
       "api_key:-----BEGIN "
       "PRIVATE KEY-----\nMII\n-----END PRIVATE KEY-----"},
  };
  for (const auto& [text, expected] : cases) EXPECT_EQ(Found(text), Strings{expected}) << text;
}

TEST(Pii, Negatives) {
  const char* cases[] = {
      "",
      "user@example.com, a@mail.example.org, x@host.test",
      "decorators like @property and git@ alone",
      "555-0123 and 212-555-0147 are for films",
      "123-456-7890 and 555-123-4567",
      "on 2024-01-15 at 12:30:45",
      "version 1.2.3.4 and 10.0.0.1, 192.168.1.20, 127.0.0.1, 203.0.113.9, 255.255.255.0, 999.1.1.1",
      "2001:db8::1 and ::1 and fe80::1 and 12:30:45",
      "GB82WEST12345698765431",
      "4111 1111 1111 1112",
      "0000 0000 0000 0000",
      "ISBN 978-3-16-148410-0",
      "000-12-3456, 666-12-3456, 912-12-3456, 123-00-4567, 123-45-0000, 078-05-1120",
      "pi is 3.14159265358979323846",
      "s"
      "k-xxxxxxxxxxxxxxxxxxxxxxxx",
      "s"
      "k-loading-spinner-container-large",
      "0x7f3a9c8d1e2b4a5c and 123456789",
  };
  for (const char* text : cases) EXPECT_EQ(Found(text), Strings{}) << text;
}

TEST(Pii, ChosenTypesAlone) {
  const auto found = FindPii("bob@gmail.com 8.8.8.8", {"ip"}).value();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].text, "8.8.8.8");
}

TEST(Pii, SeveralInOneText) {
  EXPECT_EQ(Found("bob@gmail.com, ann@gmail.com, 8.8.4.4"),
            (Strings{"email:bob@gmail.com", "email:ann@gmail.com", "ip:8.8.4.4"}));
  // The first pattern takes in the start of the second number; the search goes on after what was reported.
  EXPECT_EQ(Found("ES91 2100 0418 4502 0005 1332 DE89 3704 0044 0532 0130 00"),
            (Strings{"iban:ES91 2100 0418 4502 0005 1332", "iban:DE89 3704 0044 0532 0130 00"}));
}

TEST(Pii, Checksums) {
  EXPECT_TRUE(LuhnValid("79927398713"));
  EXPECT_FALSE(LuhnValid("79927398710"));
  EXPECT_FALSE(LuhnValid(""));
  EXPECT_TRUE(IbanValid("FR14 2004 1010 0505 0001 3M02 606"));
  EXPECT_FALSE(IbanValid("FR14 2004 1010 0505 0001 3M02 607"));
  EXPECT_FALSE(IbanValid("FR14"));
}

}  // namespace
}  // namespace genflow::guard
