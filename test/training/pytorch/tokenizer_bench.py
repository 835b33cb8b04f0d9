"""Times Hugging Face's `tokenizers` on a text: `python tokenizer_bench.py FILE VOCABULARY`. Prints one line of JSON."""
import json
import sys
import time

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

text = open(sys.argv[1], encoding="utf-8", newline="").read()
size = len(text.encode("utf-8"))
tokenizer = Tokenizer(models.BPE())
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
started = time.perf_counter()
tokenizer.train_from_iterator([text], trainers.BpeTrainer(
    vocab_size=int(sys.argv[2]), min_frequency=2, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
trained = time.perf_counter() - started
seconds = []
for _ in range(2):
    started = time.perf_counter()
    count = len(tokenizer.encode(text).ids)
    seconds.append(time.perf_counter() - started)
print(json.dumps({
    "pythonTrainSeconds": round(trained, 2),
    "pythonEncodeMBps": round(size / min(seconds) / 1e6, 2),
    "pythonBytesPerToken": round(size / count, 2),
}))
