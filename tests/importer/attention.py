"""Attention as people write it: each module is one spelling of the same thing, [N, C, H, W] -> [N, C, H, W]."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

HEADS, WIDTH = 2, 8


class Attention(nn.Module):
    """Base: a layer for queries, keys and values, one for the result; a map goes in, and comes out."""

    def __init__(self):
        super().__init__()
        self.qkv, self.proj = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        n, c, h, w = x.shape
        x = x + self.tokens(x.flatten(2).transpose(1, 2)).transpose(1, 2).reshape(n, c, h, w)
        return torch.relu(x)

    def tokens(self, x):
        return self.proj(self.attended(self.qkv(x), x.shape))


class ByPermute(Attention):
    """Queries, keys and values in front; the product of matrices, a scale of the product, `softmax`."""

    def attended(self, qkv, shape):
        q, k, v = qkv.reshape(*shape[:2], 3, HEADS, -1).permute(2, 0, 3, 1, 4).unbind(0)
        weights = ((q @ k.transpose(-2, -1)) * q.shape[-1] ** -0.5).softmax(dim=-1)
        return (weights @ v).transpose(1, 2).reshape(shape)


class ByIndex(Attention):
    """The same, indexed; the queries are scaled before."""

    def attended(self, qkv, shape):
        qkv = qkv.view(*shape[:2], 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        q, k, v = qkv[0] * (WIDTH // HEADS) ** -0.5, qkv[1], qkv[2]
        return torch.matmul(F.softmax(torch.matmul(q, k.mT), -1), v).transpose(1, 2).flatten(2)


class ByChunk(Attention):
    """Three chunks, heads afterwards, PyTorch's own function."""

    def attended(self, qkv, shape):
        q, k, v = (part.unflatten(2, (HEADS, -1)).transpose(1, 2) for part in qkv.chunk(3, dim=-1))
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


class ByLetters(Attention):
    """Einstein's sums, and another scale than usual."""

    def attended(self, qkv, shape):
        q, k, v = (part.reshape(*shape[:2], HEADS, -1).permute(0, 2, 1, 3) for part in qkv.chunk(3, dim=-1))
        weights = torch.einsum("b h i d, b h j d -> b h i j", q, k / WIDTH**0.5).softmax(-1)
        return torch.einsum("bhij,bhjd->bhid", weights, v).permute(0, 2, 1, 3).reshape(shape)


class OneHead(Attention):
    """Without heads, and with images and tokens joined in one axis by whoever wrote it."""

    def attended(self, qkv, shape):
        q, k, v = qkv.split(WIDTH, dim=-1)
        return torch.bmm(torch.softmax(torch.bmm(q, k.transpose(1, 2)) / WIDTH**0.5, dim=2), v)


class OfMaps(nn.Module):
    """Layers of maps for queries, keys and values, whose places are the tokens."""

    def __init__(self):
        super().__init__()
        self.q, self.k, self.v = (nn.Conv2d(WIDTH, WIDTH, 1) for _ in range(3))

    def forward(self, x):
        n, c, h, w = x.shape
        q, k, v = (f(x).view(n * HEADS, c // HEADS, h * w).transpose(1, 2) for f in (self.q, self.k, self.v))
        weights = torch.softmax(q @ k.transpose(-2, -1) * (c // HEADS) ** -0.5, dim=-1)
        return x + (weights @ v).transpose(1, 2).reshape(n, c, h, w)


class Windows(Attention):
    """Windows of neighbours, 4 rows and 4 columns, with a table of biases for offsets."""

    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.randn(49, HEADS))
        place = torch.arange(4)
        apart = (place[:, None] - place[None, :] + 3).view(4, 1, 4, 1) * 7 + (place[:, None] - place[None, :] + 3).view(
            1, 4, 1, 4
        )
        self.register_buffer("index", apart.reshape(16, 16))

    def cut(self, x):
        n, c, h, w = x.shape
        return x.view(n, c, h // 4, 4, w // 4, 4).permute(0, 2, 4, 3, 5, 1).reshape(-1, 16, c)

    def back(self, x, size):
        n, c, h, w = size
        return x.view(n, h // 4, w // 4, 4, 4, c).permute(0, 5, 1, 3, 2, 4).reshape(size)

    def forward(self, x):
        return torch.relu(x + self.back(self.tokens(self.cut(x)), x.shape))

    def attended(self, qkv, shape):
        q, k, v = qkv.reshape(*shape[:2], 3, HEADS, -1).permute(2, 0, 3, 1, 4).unbind(0)
        bias = self.table[self.index.view(-1)].view(16, 16, -1).permute(2, 0, 1).contiguous()
        weights = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1) + bias.unsqueeze(0)
        return (weights.softmax(-1) @ v).transpose(1, 2).reshape(shape)


class Grids(Windows):
    """Grids of 4 rows and 4 columns over all of the map, channels last on the way."""

    def cut(self, x):
        n, c, h, w = x.shape
        x = x.permute(0, 2, 3, 1).reshape(n, 4, h // 4, 4, w // 4, c)
        return x.permute(0, 2, 4, 1, 3, 5).reshape(-1, 16, c)

    def back(self, x, size):
        n, c, h, w = size
        x = x.view(n, h // 4, w // 4, 4, 4, c).permute(0, 3, 1, 4, 2, 5)
        return x.reshape(n, h, w, c).permute(0, 3, 1, 2)


class Shifted(Windows):
    """Swin's: channels last, maps filled up to whole windows, windows moved by half of one, a mask."""

    def forward(self, x):
        x = x.permute(0, 2, 3, 1)
        n, h, w, c = x.shape
        size = (-(-h // 4) * 4, -(-w // 4) * 4)
        made = F.pad(x, (0, 0, 0, size[1] - w, 0, size[0] - h))
        made = torch.roll(made, (-2, -2), dims=(1, 2)).view(n, size[0] // 4, 4, size[1] // 4, 4, c)
        made = self.masked(made.permute(0, 1, 3, 2, 4, 5).reshape(-1, 16, c), size)
        made = made.view(n, size[0] // 4, size[1] // 4, 4, 4, c).permute(0, 1, 3, 2, 4, 5).reshape(n, *size, c)
        made = torch.roll(made, (2, 2), dims=(1, 2))[:, :h, :w, :]
        return (x + made).permute(0, 3, 1, 2)

    def masked(self, x, size):
        place = x.new_zeros(size)
        for i, rows in enumerate((slice(0, -4), slice(-4, -2), slice(-2, None))):
            for j, columns in enumerate((slice(0, -4), slice(-4, -2), slice(-2, None))):
                place[rows, columns] = 3 * i + j
        place = place.view(size[0] // 4, 4, size[1] // 4, 4).permute(0, 2, 1, 3).reshape(-1, 16)
        apart = (place.unsqueeze(1) - place.unsqueeze(2)).ne(0)
        q, k, v = self.qkv(x).reshape(*x.shape[:2], 3, HEADS, -1).permute(2, 0, 3, 1, 4).unbind(0)
        bias = self.table[self.index.view(-1)].view(16, 16, -1).permute(2, 0, 1).unsqueeze(0)
        weights = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5 + bias
        hidden = x.new_zeros(apart.shape).masked_fill(apart, -100.0)
        weights = weights.view(-1, len(apart), HEADS, 16, 16) + hidden.unsqueeze(1).unsqueeze(0)
        weights = weights.view(-1, HEADS, 16, 16).softmax(-1)
        return self.proj((weights @ v).transpose(1, 2).reshape(x.shape))


class Pooled(nn.Module):
    """One vector for a map, the mean of its places by weights that are learned (Cao et al., 2019)."""

    def __init__(self):
        super().__init__()
        self.mask, self.narrow, self.wide = nn.Conv2d(WIDTH, 1, 1), nn.Conv2d(WIDTH, 4, 1), nn.Conv2d(4, WIDTH, 1)

    def forward(self, x):
        n, c, h, w = x.shape
        weights = self.mask(x).view(n, 1, h * w).softmax(2).unsqueeze(-1)
        pooled = torch.matmul(x.view(n, c, h * w).unsqueeze(1), weights).view(n, c, 1, 1)
        return x + self.wide(torch.relu(self.narrow(pooled)))


SPELLINGS = {
    ByPermute: "attention(heads=2)",
    ByIndex: "attention(heads=2)",
    ByChunk: "attention(heads=2)",
    ByLetters: "scale(0.707106781187)",
    OneHead: "attention()",
    OfMaps: "attention(q: conv(8, 1), k: conv(8, 1), v: conv(8, 1), heads=2)",
    Windows: "tokens(window=4)",
    Grids: "tokens(grid=4)",
    Shifted: "window=4,",
    Pooled: 'softmax(axis="tokens")',
}
