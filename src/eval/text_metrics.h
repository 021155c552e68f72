// How near an answer comes to a reference. All values are in [0, 1].
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace genflow::eval {

// Lower case (ASCII), words of letters and digits, everything else separates: what the scores below compare.
// Bytes above 127 count as letters.
std::vector<std::string> Words(std::string_view text);

// Equal up to surrounding white space, and runs of white space taken as one blank.
bool ExactMatch(std::string_view answer, std::string_view reference);

// Share of the reference's words, from its start, that the answer starts with in order.
double PrefixMatch(std::string_view answer, std::string_view reference);

// F1 of the longest common subsequence of words (Lin 2004, ROUGE-L with beta 1, no stemming): equals
// rouge_score's rougeL on ASCII text. 0 where neither side has a word.
double RougeL(std::string_view answer, std::string_view reference);

// F1 of the bags of words, as SQuAD's, without removing articles.
double TokenF1(std::string_view answer, std::string_view reference);

}  // namespace genflow::eval
