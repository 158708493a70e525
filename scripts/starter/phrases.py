"""Phrasings of the starter benchmark's questions, as templates; a plain tuple is chosen from evenly.

``{t}`` and ``{ts}`` are a table's words for one and for several rows, ``{c}`` columns, ``{if}`` a condition.
"""

AGGREGATE = (
    "What is the {f} {c} of the {ts} {if}?",
    "Find the {f} {c} of all {ts} {if}.",
    "Give the {f} {c} among {ts} {if}.",
    "Show the {f} {c} over the {ts} {if}.",
)
DISTINCT_COUNT = (
    "How many different values of {c} are there among the {ts} {if}?",
    "Count the distinct values of {c} of the {ts} {if}.",
    "What is the number of different values of {c} among {ts} {if}?",
)
DISTINCT = (
    "List the different values of {c} of the {ts} {if}.",
    "What are the distinct values of {c} among the {ts} {if}?",
    "Show each distinct {c} of the {ts} {if} only once.",
    "Which different values of {c} do the {ts} {if} have?",
)
GROUP_COUNT = (
    "Show each {c} and the number of {ts} with it.",
    "For each {c}, give the {c} and how many {ts} have it.",
    "List every {c} together with its number of {ts}.",
    "How many {ts} are there per {c}? Show the {c} and the number.",
)
GROUP = (
    "For each {c}, show the {c} and the {f} {n} of its {ts}.",
    "List every {c} together with the {f} {n} of its {ts}.",
    "What is the {f} {n} of the {ts} per {c}? Show the {c} and the {f} {n}.",
    "Give each {c} and the {f} {n} of the {ts} with it.",
)
HAVING_COUNT = (
    "Which {c} has {m} {v} {ts}?",
    "List every {c} that is shared by {m} {v} {ts}.",
    "Show the {c} with {m} {v} {ts}.",
    "Find each {c} that {m} {v} {ts} have.",
)
HAVING = (
    "Which {c} has {ts} with a {f} {n} {m} {v}?",
    "List every {c} where the {f} {n} of the {ts} is {m} {v}.",
    "Show each {c} whose {ts} have a {f} {n} {m} {v}.",
)
ORDER = (
    "List the {c} of all {ts} {if} sorted {h}.",
    "Show the {c} of the {ts} {if}, ordered {h}.",
    "Sort the {ts} {if} {h} and give their {c}.",
    "What is the {c} of each {t} {if}, arranged {h}?",
)
ORDER_DOWN = (
    "from the highest to the lowest {n}",
    "in descending order of {n}",
    "by {n} from high to low",
)
ORDER_UP = ("from the lowest to the highest {n}", "in ascending order of {n}", "by {n} from low to high")
LIMIT_ONE = (
    "What is the {c} of the {t} with the {m} {n} {if}?",
    "Show the {c} of the {t} {if} that has the {m} {n}.",
    "Which {t} {if} has the {m} {n}? Give the {c}.",
)
LIMIT = (
    "List the {c} of the {k} {ts} {if} with the {m} {n}.",
    "What is the {c} of the {k} {ts} {if} that have the {m} {n}?",
    "Which {k} {ts} {if} have the {m} {n}? Give the {c}.",
)
JOIN_PAIR = (
    "Show the {a} of each {t} together with the {b} of its {p}.",
    "For every {t}, list the {a} and the {b} of its {p}.",
    "Give the {a} of all {ts} and the {b} of the {p} of each.",
)
JOIN_SUPERLATIVE = (
    "What is the {b} of the {p} of the {t} with the {m} {n}?",
    "Give the {b} of the {p} that the {t} with the {m} {n} belongs to.",
)
JOIN_COUNT = (
    "How many {ts} belong to a {p} {if}?",
    "Count the {ts} that belong to {ps} {if}.",
    "What is the number of {ts} of {ps} {if}?",
)
JOIN = (
    "What is the {a} of the {ts} that belong to a {p} {if}?",
    "List the {a} of all {ts} of {ps} {if}.",
    "Show the {a} of every {t} that belongs to a {p} {if}.",
    "Give the {a} of the {ts} whose {p} is one {if}.",
)
WITHOUT = (
    "List the {c} of the {ps} that have no {t} {if}.",
    "Show the {c} of every {p} without any {t} {if}.",
    "What is the {c} of the {ps} that do not have a {t} {if}?",
)
AT_LEAST_ONE = (
    "List the {c} of the {ps} that have at least one {t} {if}.",
    "Show the {c} of every {p} that has some {t} {if}.",
    "What is the {c} of the {ps} having at least one {t} {if}?",
)
AGAINST_AVERAGE = (
    "List the {c} of the {ts} whose {n} is {h} the average {n}.",
    "Show the {c} of every {t} with a {n} {h} the average of all {ts}.",
    "Which {ts} have a {n} {h} the average? Give the {c}.",
)
SELECT = (
    "What is the {c} of the {ts} {if}?",
    "List the {c} of all {ts} {if}.",
    "Show the {c} of every {t} {if}.",
    "Give the {c} of the {ts} {if}.",
    "Find the {c} for {ts} {if}.",
    "For {ts} {if}, what is the {c}?",
    "I need the {c} of each {t} {if}.",
    "Tell me the {c} of any {t} {if}.",
)
ALL = (
    "What is the {c} of each {t}?",
    "List the {c} of all {ts}.",
    "Show the {c} of every {t}.",
    "Give the {c} for all {ts}.",
    "For each {t}, what is the {c}?",
    "I need the {c} of every {t}.",
)
COUNT = (
    "How many {ts} are there {if}?",
    "Count the {ts} {if}.",
    "What is the number of {ts} {if}?",
    "Give the number of {ts} {if}.",
    "Find how many {ts} there are {if}.",
)
AGGREGATES = {
    "AVG": ("average", "mean"),
    "SUM": ("total", "sum of the"),
    "MAX": ("highest", "maximum", "largest"),
    "MIN": ("lowest", "minimum", "smallest"),
}
EQUAL = (
    "whose {c} is {v}",
    "with {c} {v}",
    "where the {c} is {v}",
    "that have {v} as {c}",
    "whose {c} equals {v}",
)
CONDITIONS = {
    "<>": ("whose {c} is not {v}", "with a {c} other than {v}", "where the {c} is different from {v}"),
    ">": (
        "whose {c} is greater than {v}",
        "with a {c} above {v}",
        "where the {c} is more than {v}",
        "with a {c} of over {v}",
        "whose {c} exceeds {v}",
    ),
    "<": (
        "whose {c} is less than {v}",
        "with a {c} below {v}",
        "where the {c} is smaller than {v}",
        "with a {c} of under {v}",
        "whose {c} is lower than {v}",
    ),
}
BETWEEN = (
    "whose {c} is between {v} and {w}",
    "with a {c} from {v} to {w}",
    "where the {c} lies between {v} and {w}",
)
LIKE = {
    "{v}%": ("whose {c} starts with {v}", "where the {c} begins with {v}", "with a {c} starting with {v}"),
    "%{v}": ("whose {c} ends with {v}", "where the {c} ends in {v}", "with a {c} ending with {v}"),
    "%{v}%": ("whose {c} contains {v}", "where the {c} includes {v}", "with a {c} containing {v}"),
}
IN = ("whose {c} is one of {v}", "with {c} in the list {v}", "where the {c} is any of {v}")
NOT_IN = ("whose {c} is none of {v}", "with {c} outside the list {v}", "where the {c} is not any of {v}")

ORDER_TEXT_DOWN = ("in reverse alphabetical order of {n}",)
ORDER_TEXT_UP = ("in alphabetical order of {n}",)
