"""The batch is too large: the third one is six times the first two."""
from model import Decoder, train

train(Decoder().cuda(), (4, 4, 48))
