"""A run that fits the card, were it not for somebody else on it (TIDEMARK_SIM_OUTSIDE)."""
from model import Decoder, train

train(Decoder().cuda(), (8, 8, 8))
