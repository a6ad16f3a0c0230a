"""LongBench's scores by their definition, each of an answer and one reference, from 0 to 1. The
`segmented` ones take the words that a segmenter finds."""

from __future__ import annotations

import re
import string
from collections import Counter
from functools import cache

# LongBench's, in the order of code points.
CHINESE_PUNCTUATION = (
    "–—‘’‛“”„‟…‧、。〃》「」『』【】〔〕〖〗〘〙〚〛〜〝〞〟〰〾〿﹏"
    "！＂＃＄％＆＇（）＊＋，－／：；＜＝＞？＠［＼］＾＿｀｛｜｝～｟｠｡｢｣､"
)


def words(text: str) -> list[str]:
    text = "".join(c for c in text.lower() if c not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", text).split()


def f1(answer: str, reference: str) -> float:
    return f1_of_words(words(answer), words(reference))


def f1_of_words(given: list[str], wanted: list[str]) -> float:
    same = sum((Counter(given) & Counter(wanted)).values())
    if same == 0:
        return 0.0
    precision, recall = same / len(given), same / len(wanted)
    return 2 * precision * recall / (precision + recall)


def common(a: tuple, b: tuple) -> list:
    """One longest common subsequence: from the ends, of two ways the one that shortens b."""

    @cache
    def length(i: int, j: int) -> int:
        if i == 0 or j == 0:
            return 0
        if a[i - 1] == b[j - 1]:
            return length(i - 1, j - 1) + 1
        return max(length(i - 1, j), length(i, j - 1))

    for k in range(0, len(a) + 1, 50):  # so that the recursion stays shallow
        for m in range(0, len(b) + 1, 50):
            length(k, m)
    i, j, found = len(a), len(b), []
    while i and j:
        if a[i - 1] == b[j - 1]:
            found.append(a[i - 1])
            i, j = i - 1, j - 1
        elif length(i - 1, j) > length(i, j - 1):
            i -= 1
        else:
            j -= 1
    return found


def rouge_l(answer: str, reference: str) -> float:
    given, wanted = (
        [tuple(" ".join(part.split()).split(" ")) for part in text.split(".") if part]
        for text in (answer, reference)
    )
    union = {word for w in wanted for g in given for word in common(w, g)}
    if not union:
        return 0.0
    recall = len(union) / len({word for sentence in wanted for word in sentence})
    precision = len(union) / len({word for sentence in given for word in sentence})
    return 2 * precision * recall / (precision + recall)


def classes_of(answer: str, reference: str, classes: list[str]) -> float:
    named = [c for c in classes if c in answer]
    named = [c for c in named if c == reference or c not in reference]
    return 1 / len(named) if reference in named else 0.0


def number(answer: str, reference: str) -> float:
    given, wanted = re.findall(r"\d+", answer), re.findall(r"\d+", reference)[0]
    return given.count(wanted) / len(given) if given else 0.0


def code(answer: str, reference: str) -> float:
    lines = answer.lstrip("\n").split("\n")
    line = next((x for x in lines if not ("`" in x or "#" in x or "//" in x)), "")
    if not line:
        return 0.0
    return round(200 * len(common(tuple(line), tuple(reference))) / len(line + reference)) / 100


def segmented_f1(answer: list[str], reference: list[str]) -> float:
    dropped = str.maketrans("", "", string.punctuation + CHINESE_PUNCTUATION)
    given, wanted = (
        [plain for word in text if (plain := word.lower().translate(dropped))]
        for text in (answer, reference)
    )
    return f1_of_words(given, wanted)


def segmented_rouge_l(answer: list[str], reference: list[str]) -> float:
    return rouge_l(" ".join(answer), " ".join(reference))
