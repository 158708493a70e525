"""The starter model's tokenizer: byte-level BPE over invented training text.

Words stand without their leading space, so that ``home team`` and ``home_team`` share their tokens;
digits stand alone; a plural's s is cut off; SQL's keywords and frequent phrases are one token each, with
their spaces.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .invention import Inventor
from .questions import KINDS, ask

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PAD, END, SYSTEM, USER, ASSISTANT = "<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"
TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
_PHRASES = (
    "What is the |List the |Show the |Give the |Find the |Tell me the |I need the |How many |"
    "Count the |Which |For | of the | of all | of every | of each | of any | whose |"
    " is greater than | is less than | is more than | is smaller than | is different from |"
    " is lower than | exceeds | equals | is between | lies between | with a | with an | with |"
    " where the | that have | as | above | below | over | under | other than | from | to | and |"
    " or | is | of | the | for | in | a | an | starts with | begins with | ends with | ends in |"
    " contains | includes | one of | any of | none of | together with | number of | different |"
    " distinct values of | are there | sorted | ordered | highest | lowest | average |"
    " belongs to a | belong to a | that have no | without any | at least one | by | per | have |"
    " has | than | average | more than | fewer than | less than | in the list | outside the list |"
    " descending order of | ascending order of "
)
"""Frequent phrases with the spaces around them, a bar between."""
_SQL = (
    "CREATE TABLE |; CREATE TABLE | (| VARCHAR, | INTEGER, | VARCHAR)| INTEGER)|"
    "SELECT |SELECT COUNT(*) FROM |SELECT COUNT(DISTINCT |SELECT DISTINCT | (SELECT |(SELECT |"
    " FROM | WHERE | AND | OR | LIKE '| IN (| NOT IN (| BETWEEN | GROUP BY | HAVING | ORDER BY | ASC| DESC|"
    " LIMIT | AS T1 JOIN | AS T2 ON T1.| = T2.|T1.|T2.| = '|%'|LIKE '%| LIKE '%|COUNT(*)|AVG(|SUM(|MAX(|MIN(|"
    ") FROM |, |', '| NOT IN (SELECT | IN (SELECT |) > |) < |(AVG(| = | <> | != | < | > | >= | <= "
)
"""The same of SQL."""


def train_tokenizer(size: int, seed: int) -> PreTrainedTokenizerFast:
    """A tokenizer of ``size`` tokens, trained on invented questions, schemas and golds."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    special = [PAD, END, SYSTEM, USER, ASSISTANT]
    marks = ("\nQuestion: ", "\n-- ", "\n", "You are a SQL expert.")
    units = sorted({*_SQL.split("|"), *_PHRASES.split("|"), *marks})
    tokenizer = Tokenizer(models.BPE())
    pattern = r"[A-Za-z]+?(?=s(?![A-Za-z]))|s(?![A-Za-z])|[A-Za-z]+|[0-9]|\s|[^A-Za-z0-9\s]"
    split: Any = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
    bytes_: Any = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, bytes_])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size - len(units),
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(seed), trainer)
    tokenizer.add_tokens([AddedToken(unit, normalized=False, special=False) for unit in units])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=[SYSTEM, USER, ASSISTANT],
        padding_side="left",
        clean_up_tokenization_spaces=False,
        model_input_names=["input_ids", "attention_mask"],
        model_max_length=1024,
    )
    fast.chat_template = TEMPLATE
    return fast


def _texts(seed: int) -> Iterator[str]:
    """Names and questions that a model of the training split would meet."""
    rng = random.Random(f"tokens {seed}")
    inventor = Inventor(rng)
    for _ in range(6000):
        domain = inventor.schema(0.7)
        question = ask(rng.choice(tuple(KINDS)), domain, rng)
        if question is not None:
            yield f"{domain.context}\n{question.question}"


def letter_pieces(tokenizer: Any) -> tuple[str, ...]:
    """The tokens of a tokenizer that are small letters alone, in the order of their ids."""
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    return tuple(token for token, _ in vocabulary if token.isascii() and token.isalpha() and token.islower())
