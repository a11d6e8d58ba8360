"""Strides of results: programs see them, and random numbers are drawn in the order of memory."""

import pytest

import diya as torch
import diya.nn.functional as F


@pytest.mark.parametrize(("shape", "strides", "new", "expected"), [
    ((2, 32, 1), (32, 1, 32), (2, 32, 1, 1), (32, 1, 32, 32)), ((2, 1, 64), (64, 64, 1), (2, 64), (64, 1)),
    ((2, 3, 4), (12, 1, 3), (2, 3, 4, 1), (12, 1, 3, 3)), ((4, 1), (1, 1), (2, 1, 2), (2, 2, 1)), ((), (), (1, 1), (1, 1)),
    ((3, 0), (1, 3), (3, 0), (1, 3)), ((2, 1, 3), (3, 9, 1), (1, 6), (6, 1)), ((4, 1, 2), (8, 77, 1), (4, 1, 1, 2), (8, 2, 2, 1))])
def test_views_have_pytorchs_strides(shape, strides, new, expected):
    assert torch.empty_strided(shape, strides).view(new).stride() == expected


def test_channels_last_is_kept_where_height_and_width_are_one():
    x = torch.randn(2, 16, 4, 4).contiguous(memory_format=torch.channels_last)
    y = F.conv2d(x, torch.randn(8, 16, 4, 4))
    assert y.stride() == (8, 1, 8, 8) and y.clone().stride() == (8, 1, 8, 8) and torch.zeros_like(y).stride() == (8, 1, 8, 8)
    assert torch.cat([y, y], 1).stride() == (16, 1, 16, 16)
    assert F.interpolate(y, size=(3, 3), mode="bilinear").stride() == (72, 1, 24, 8)


def test_dropout_after_a_head_that_was_a_sequence():
    tokens = torch.randn(2, 1, 8)
    image = tokens.permute(0, 2, 1).reshape(2, 8, 1, 1)
    wide = F.interpolate(image, size=(4, 4), mode="bilinear")
    assert wide.stride() == (128, 1, 32, 8)
    torch.manual_seed(0)
    kept = F.dropout(wide, 0.5) != 0
    torch.manual_seed(0)
    assert torch.equal(kept.permute(0, 2, 3, 1), F.dropout(torch.ones(2, 4, 4, 8), 0.5) != 0)
