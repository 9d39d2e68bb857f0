#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

// Cuts a text as std::regex_iterator does with an expression of a pre-tokenizer, in time linear in the text and without
// recursion. std::regex calls itself for every character of a repeated class, so a few ten thousand equal characters
// exhaust the stack, and it tries what failed again from every further character.
//
// Of the syntax of ECMAScript, what the expressions in llama-vocab.cpp use: alternatives, groups, classes, the quantifiers
// ? * + {n} {n,} {n,m} (greedy), lookahead, $, and \s \S \d \D. Anything else throws std::runtime_error.
//
//   text:    one unit per character
//   offsets: the lengths of the ranges that the text was cut into before; they are cut further
//
// returns the lengths of the ranges: what matched, and what lies between
std::vector<size_t> ftk_regex_split(const std::string & text, const std::string & regex, const std::vector<size_t> & offsets);
std::vector<size_t> ftk_regex_split(const std::wstring & text, const std::wstring & regex, const std::vector<size_t> & offsets);

// Looks for an expression as std::regex_search does, in time linear in the text and without recursion. Besides what is named
// above: groups that are remembered, ^ . \w \W and quantifiers that are not greedy.
struct ftk_regex;

// nullptr, and why: the expression is malformed, or has a part that ours does not know
std::shared_ptr<const ftk_regex> ftk_regex_compile(const std::string & regex, std::string & why);

// where, in the first match, the first group begins that is not empty, or else the match itself; npos: there is none. One that
// begins with ^ and ends with $ is first tried on the whole text
size_t ftk_regex_find(const ftk_regex & regex, const std::string & text);
