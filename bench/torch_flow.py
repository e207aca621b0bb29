"""The reference's flow in PyTorch: for compare_training.py and bench/run."""
import torch

BLOCKS, CLAMP = 8, 3.0


class Subnet(torch.nn.Sequential):
    def __init__(self, inputs, outputs, hidden):
        sizes = [inputs, hidden, hidden, hidden, outputs]
        layers = []
        for i in range(4):
            layers += [torch.nn.Linear(sizes[i], sizes[i + 1]), torch.nn.ReLU()]
        super().__init__(*layers[:-1])


class Flow(torch.nn.Module):
    """Permutation, then both halves coupled (paper figure 3).  Every subnet is evaluated once."""

    def __init__(self, dimension, hidden, blocks=BLOCKS):
        super().__init__()
        self.half = dimension // 2
        self.permutations = [torch.randperm(dimension) for _ in range(blocks)]
        self.net1 = torch.nn.ModuleList(Subnet(self.half, dimension, hidden) for _ in range(blocks))
        self.net2 = torch.nn.ModuleList(Subnet(self.half, dimension, hidden) for _ in range(blocks))

    def take(self, tensors):
        """Weights and permutations of a flow file (docs/format.md)."""
        with torch.no_grad():
            for k in range(len(self.permutations)):
                self.permutations[k] = torch.tensor(tensors[f"blocks.{k}.permutation"].astype("int64"))
                for name, net in (("net1", self.net1[k]), ("net2", self.net2[k])):
                    for i, layer in enumerate(list(net)[::2]):
                        for part in ("weight", "bias"):
                            getattr(layer, part).copy_(torch.tensor(tensors[f"blocks.{k}.{name}.{i}.{part}"]))
        return self

    def couple(self, x, net_output):
        s, t = net_output[:, :self.half], net_output[:, self.half:]
        log_scale = CLAMP * 0.636 * torch.atan(s / CLAMP)
        return x * torch.exp(log_scale) + t, log_scale.sum(1)

    def forward(self, x):
        logdet = 0
        for permutation, net1, net2 in zip(self.permutations, self.net1, self.net2):
            x = x[:, permutation]
            x1, x2 = x[:, :self.half], x[:, self.half:]
            y1, part2 = self.couple(x1, net2(x2))
            y2, part1 = self.couple(x2, net1(y1))
            x, logdet = torch.cat((y1, y2), 1), logdet + part1 + part2
        return x, logdet
