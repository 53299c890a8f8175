"""Train a small convolutional network with batch norm for a few steps."""
import torch, torch.nn as nn

torch.manual_seed(0)
torch.backends.cudnn.benchmark = False


def block(inputs, outputs):
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs),
                         nn.ReLU(), nn.MaxPool2d(2))


model = nn.Sequential(block(3, 64), block(64, 128), block(128, 256), nn.Flatten(),
                      nn.Linear(256 * 28 * 28, 10)).cuda()
optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
for _ in range(3):
    x = torch.randn(16, 3, 224, 224, device="cuda")
    y = torch.randint(0, 10, (16,), device="cuda")
    nn.functional.cross_entropy(model(x), y).backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
