"""Records epsilons of two other accountants: pip install dp-accounting==0.6.0 opacus==1.6.0, then run this here.

Integer orders only, as ours: the numbers are comparable to many digits.
"""

import json
from pathlib import Path

import dp_accounting
from dp_accounting.rdp import rdp_privacy_accountant
from opacus.accountants.analysis import rdp

ORDERS = [*range(2, 257), 320, 384, 448, 512, 768, 1024]
CASES = [
    # Abadi et al. 2016, section 4: q = 0.01, sigma = 4, 10,000 steps.
    (0.01, 4.0, 10_000, 1e-5),
    # Bu et al. 2020, figure 4: MNIST, batches of 256.
    (256 / 60_000, 1.3, 4_687, 1e-5),
    (256 / 60_000, 0.7, 16_406, 1e-5),
    (256 / 60_000, 1.1, 14_062, 1e-5),
    # Without sampling: what a mesh can promise.
    (1.0, 1.0, 1, 1e-5),
    (1.0, 6.0, 100, 1e-5),
    (1.0, 20.0, 1_000, 1e-6),
    # Corners: strong noise, weak noise, nearly everybody, nearly nobody.
    (0.1, 50.0, 10, 1e-8),
    (0.5, 0.5, 3, 1e-3),
    (0.99, 2.0, 20, 1e-5),
    (1e-4, 1.0, 100_000, 1e-9),
]


def ours(rate: float, noise: float, rounds: int, delta: float) -> dict:
    accountant = rdp_privacy_accountant.RdpAccountant(ORDERS)
    event = dp_accounting.PoissonSampledDpEvent(rate, dp_accounting.GaussianDpEvent(noise))
    accountant.compose(event, rounds)
    divergences = rdp.compute_rdp(q=rate, noise_multiplier=noise, steps=rounds, orders=ORDERS)
    opacus, _ = rdp.get_privacy_spent(orders=ORDERS, rdp=divergences, delta=delta)
    return {
        "sampleRate": rate,
        "noiseMultiplier": noise,
        "rounds": rounds,
        "delta": delta,
        "dpAccounting": float(accountant.get_epsilon(delta)),
        "opacus": float(opacus),
    }


Path(__file__).with_name("accountant.json").write_text(json.dumps([ours(*case) for case in CASES], indent=1) + "\n")
