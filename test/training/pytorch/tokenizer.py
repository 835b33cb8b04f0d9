"""Records what Hugging Face's `tokenizers` makes of a small text: run on demand, from the repository's root, with
`python test/training/pytorch/tokenizer.py`, where that package (0.20 or newer) is installed. The texts are made here, of
words and signs of several scripts, so that ties, blanks, contractions and surrogate pairs all occur."""
import json
import pathlib
import random

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

random.seed(7)
WORDS = "the a of round peer trains learns model committee we'll it's they've don't signs aggregate token 12 2026 x1 Überprüfung naïve 模型 訓練 модель обучение كلمة 😀 ½ Ⅷ".split()
BLANKS = [" "] * 12 + ["  ", "\n", "\n\n\n", "\t", " \n ", "\u00a0", "\u0085", "\ufeff", "\u2028", ", ", ". ", " - ", "(", ") ", "'", "''s "]


def text(count):
    return "".join(random.choice(WORDS) + random.choice(BLANKS) for _ in range(count))


corpus = text(2500)
tokenizer = Tokenizer(models.BPE())
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tokenizer.decoder = decoders.ByteLevel()
trainer = trainers.BpeTrainer(
    vocab_size=420, min_frequency=2, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
)
tokenizer.train_from_iterator([corpus], trainer)
samples = [text(60), "", " ", "\n", "   three", "'s'S'll 're", "end  ", "👩‍👩‍👧 e\u0301", "a\r\nb\x00\x7f"]
vector = {
    "corpus": corpus,
    "file": json.loads(tokenizer.to_str()),
    "samples": [{"text": one, "ids": tokenizer.encode(one).ids} for one in samples],
}
path = pathlib.Path("test/training/vectors/tokenizer.json")
path.write_text(json.dumps(vector, ensure_ascii=True, separators=(",", ":")) + "\n")
print(path, path.stat().st_size)
