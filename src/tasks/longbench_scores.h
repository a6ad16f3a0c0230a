#pragma once
// The scores of LongBench (arXiv 2308.14508), each from 0 to 1, of one answer against one
// reference.

#include <span>
#include <string>
#include <string_view>

namespace dms::tasks {

/// F1 over words, in any case, without ASCII punctuation and English articles: letters, blanks and
/// ends of words are Unicode's, as in the benchmark's Python.
double word_f1(std::string_view answer, std::string_view reference);
/// F1 over Chinese words, which blanks divide: in any case, without the punctuation of ASCII and
/// that of Chinese that LongBench lists.
double segmented_f1(std::string_view answer, std::string_view reference);
/// ROUGE-L of a summary: distinct words of each reference sentence's longest common subsequences
/// with the answer's sentences, joined.
double rouge_l(std::string_view answer, std::string_view reference);
/// Whether the class is named; shared with other classes that are named too.
double class_score(const std::string& answer,
                   const std::string& reference,
                   std::span<const std::string> classes);
/// Of the numbers in the answer, the share that are the reference's: "Paragraph 7", "段落7", "7".
double number_score(std::string_view answer, std::string_view reference);
/// Of the answer's first line of code, in hundredths: twice the longest common subsequence of
/// characters, over both lengths.
double code_similarity(std::string_view answer, std::string_view reference);

}  // namespace dms::tasks
