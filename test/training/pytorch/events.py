"""Prints what TensorBoard's own reader finds in a folder of `src/training/logs/tensorboard.ts`: run on demand, with
`python test/training/pytorch/events.py FOLDER`, where tensorboard is installed."""
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

events = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0, "tensors": 0})
events.Reload()
for tag in events.Tags()["scalars"]:
    print(tag, [(each.step, each.value, each.wall_time) for each in events.Scalars(tag)])
