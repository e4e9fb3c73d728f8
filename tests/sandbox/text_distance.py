# SPDX-License-Identifier: MIT
"""Edit distance of whole texts: Hyyrö's bit-parallel form of Myers 1999, with Python's long integers as bit vectors."""


def edit_distance(left, right):
    if not left:
        return len(right)
    masks, full, last = {}, (1 << len(left)) - 1, 1 << (len(left) - 1)
    for i, character in enumerate(left):
        masks[character] = masks.get(character, 0) | 1 << i
    positive, negative, distance = full, 0, len(left)
    for character in right:
        match = masks.get(character, 0)
        diagonal = (((match & positive) + positive) ^ positive) | match | negative
        up, down = negative | (full & ~(diagonal | positive)), positive & diagonal
        distance += bool(up & last) - bool(down & last)
        up, down = (up << 1 | 1) & full, (down << 1) & full
        positive, negative = down | (full & ~(diagonal | up)), up & diagonal
    return distance


def common_length(left, right):
    """Length of the longest common subsequence (Hyyrö 2004, bit-parallel)."""
    masks, full = {}, (1 << len(left)) - 1
    for i, character in enumerate(left):
        masks[character] = masks.get(character, 0) | 1 << i
    rest = full
    for character in right:
        match = rest & masks.get(character, 0)
        rest = (rest + match | rest - match) & full
    return len(left) - bin(rest).count("1")


def ratio(left, right):
    """What python-Levenshtein calls ratio: the share of characters that both have in order; 1 is equality."""
    left, right = plain(left), plain(right)
    return 2 * common_length(left, right) / max(1, len(left) + len(right))


def plain(text):
    """Runs of blanks, line and page ends count as one blank."""
    return " ".join(text.split())


def error_rate(truth, text):
    """Character error rate (CER): edits per character of the truth, at most 1."""
    truth, text = plain(truth), plain(text)
    return min(1.0, edit_distance(truth, text) / max(1, len(truth)))
