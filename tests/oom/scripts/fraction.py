"""The process may use a third of the card, and the card has plenty."""
import torch
from model import Decoder, train

torch.cuda.set_per_process_memory_fraction(0.3)
train(Decoder().cuda(), (8, 24, 40))
