"""torchvision's operators, against loops over numbers."""

import math

import numpy as np
import pytest

import diya as torch
from diya.autograd import gradcheck

torch.ops.load_library("site-packages/torchvision/_C.so")
vision = torch.ops.torchvision


def regions(count, size, seed=0):
    make = np.random.default_rng(seed)
    corner = make.uniform(-2, size - 2, (count, 2))
    boxes = np.concatenate([corner, corner + make.uniform(-0.5, size / 2, (count, 2))], 1)
    return np.concatenate([make.integers(0, 2, (count, 1)), boxes], 1)


def features(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape)


def point(image, y, x):
    height, width = image.shape
    if not (-1 <= y <= height and -1 <= x <= width):
        return 0.0
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = int(y), int(x)
    low, right = min(top + 1, height - 1), min(left + 1, width - 1)
    dy, dx = y - top, x - left
    return ((1 - dy) * (1 - dx) * image[top, left] + (1 - dy) * dx * image[top, right] + dy * (1 - dx) * image[low, left]
            + dy * dx * image[low, right])


def aligned(image, box, bins, ratio, offset):
    """Bins of one region of one channel."""
    left, top, right, bottom = box - offset
    sides = [bottom - top, right - left]
    if not offset:
        sides = [max(s, 1.0) for s in sides]
    grid = [ratio if ratio > 0 else math.ceil(s / bins) for s in sides]
    out = np.zeros((bins, bins))
    for i in range(bins):
        for j in range(bins):
            for a in range(grid[0]):
                for b in range(grid[1]):
                    out[i, j] += point(image, top + (i + (a + .5) / grid[0]) * sides[0] / bins,
                                       left + (j + (b + .5) / grid[1]) * sides[1] / bins)
    return out / max(grid[0] * grid[1], 1)


@pytest.mark.parametrize("ratio", [2, 0])
@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_roi_align(ratio, half, scale):
    x, rois = features(2, 3, 9, 9), regions(6, 9)
    got = vision.roi_align(torch.tensor(x), torch.tensor(rois), scale, 3, 3, ratio, half)
    want = [[aligned(x[int(r[0]), c], r[1:] * scale, 3, ratio, 0.5 * half) for c in range(3)] for r in rois]
    np.testing.assert_allclose(got.numpy(), want, atol=1e-12)


def test_ps_roi_align():
    x, rois = features(2, 8, 9, 9), regions(6, 9)
    got, channels = vision.ps_roi_align(torch.tensor(x), torch.tensor(rois), 1.0, 2, 2, 2)
    whole = vision.roi_align(torch.tensor(x), torch.tensor(rois), 1.0, 2, 2, 2, True).numpy()
    for c in range(2):
        for i in range(2):
            for j in range(2):
                assert (channels[:, c, i, j] == c * 4 + i * 2 + j).all()
                np.testing.assert_allclose(got.numpy()[:, c, i, j], whole[:, c * 4 + i * 2 + j, i, j], atol=1e-12)


def rounded(v):
    return int(math.copysign(math.floor(abs(v) + 0.5), v))


def bins_of(box, bins, extra, limit):
    left, top, right, bottom = map(rounded, box)
    for i in range(bins):
        for j in range(bins):
            ranges = []
            for start, end, k in ((top, bottom, i), (left, right, j)):
                side = max(end - start + extra, 1) / bins
                ranges.append(range(*(min(max(v + start, 0), limit) for v in (math.floor(k * side), math.ceil((k + 1) * side)))))
            yield i, j, ranges


def test_roi_pool():
    x, rois = features(2, 3, 9, 9), regions(6, 9)
    got, places = vision.roi_pool(torch.tensor(x), torch.tensor(rois), 1.0, 3, 3)
    for k, r in enumerate(rois):
        for i, j, (rows, columns) in bins_of(r[1:], 3, 1, 9):
            for c in range(3):
                taken = [(-x[int(r[0]), c, a, b], a * 9 + b) for a in rows for b in columns]
                value, place = min(taken) if taken else (0.0, -1)
                assert (got[k, c, i, j].item(), places[k, c, i, j].item()) == (-value, place)


def test_ps_roi_pool():
    x, rois = features(2, 8, 9, 9), regions(6, 9)
    got, _ = vision.ps_roi_pool(torch.tensor(x), torch.tensor(rois), 1.0, 2, 2)
    for k, r in enumerate(rois):
        for i, j, (rows, columns) in bins_of(r[1:], 2, 0, 8):
            for c in range(2):
                taken = [x[int(r[0]), c * 4 + i * 2 + j, a, b] for a in rows for b in columns]
                assert got[k, c, i, j].item() == pytest.approx(np.mean(taken) if taken else 0.0)


@pytest.mark.parametrize("pool", [
    lambda x, rois: vision.roi_align(x, rois, 1.0, 2, 2, 2, False), lambda x, rois: vision.roi_align(x, rois, 1.0, 2, 2, -1, True),
    lambda x, rois: vision.roi_pool(x, rois, 1.0, 2, 2)[0], lambda x, rois: vision.ps_roi_align(x, rois, 1.0, 2, 2, 2)[0],
    lambda x, rois: vision.ps_roi_pool(x, rois, 1.0, 2, 2)[0]])
def test_gradients_of_pooling(pool):
    rois = torch.tensor(regions(4, 6))
    assert gradcheck(lambda x: pool(x, rois), (torch.tensor(features(2, 4, 6, 6), requires_grad=True),))


def test_gradients_by_name():
    x, rois = torch.tensor(features(2, 4, 6, 6), requires_grad=True), torch.tensor(regions(4, 6))
    out, places = vision.roi_pool(x, rois, 1.0, 2, 2)
    cotangent = torch.tensor(features(*out.shape))
    want, = torch.autograd.grad(out, x, cotangent)
    assert torch.allclose(vision._roi_pool_backward(cotangent, rois, places, 1.0, 2, 2, 2, 4, 6, 6), want)
    want, = torch.autograd.grad(vision.roi_align(x, rois, 1.0, 2, 2, 2, False), x, cotangent)
    assert torch.allclose(vision._roi_align_backward(cotangent, rois, 1.0, 2, 2, 2, 4, 6, 6, 2, False), want)


def test_without_regions():
    x = torch.ones(1, 4, 3, 3, requires_grad=True)
    for out in (vision.roi_align(x, torch.zeros(0, 5), 1.0, 2, 2, 2, False), vision.roi_pool(x, torch.zeros(0, 5), 1.0, 2, 2)[0]):
        assert out.shape == (0, 4, 2, 2)
        assert torch.autograd.grad(out.sum(), x)[0].eq(0).all()


def test_deformable_convolution_without_deformation_is_a_convolution():
    x, w, b = (torch.tensor(features(*s)) for s in ((2, 4, 7, 6), (6, 2, 3, 2), (6,)))
    want = torch.nn.functional.conv2d(x, w, b, (2, 1), (1, 2), (1, 2), groups=2)
    offset = torch.zeros(2, 2 * 2 * 6, *want.shape[2:], dtype=torch.float64)
    mask = torch.ones(2, 2 * 6, *want.shape[2:], dtype=torch.float64)
    for used in (False, True):
        got = vision.deform_conv2d(x, w, offset, mask, b, 2, 1, 1, 2, 1, 2, 2, 2, used)
        assert torch.allclose(got, want)


def test_deformable_convolution_reads_where_offsets_say():
    x = torch.tensor(features(1, 1, 6, 6))
    offset, one = torch.zeros(1, 2, 6, 6, dtype=torch.float64), torch.ones(1, 1, dtype=torch.float64)
    offset[:, 0], offset[:, 1] = 1.0, 0.5
    got = vision.deform_conv2d(x, one.reshape(1, 1, 1, 1), offset, one, one[0] * 0, 1, 1, 0, 0, 1, 1, 1, 1, False)[0, 0]
    below = torch.nn.functional.pad(x[0, 0], (0, 1, 0, 1))[1:]
    assert torch.allclose(got, (below[:, :-1] + below[:, 1:]) / 2)


def test_gradients_of_deformable_convolution():
    inputs = [torch.tensor(features(*s, seed=k), requires_grad=True) for k, s in enumerate(
        ((1, 2, 4, 4), (2, 2, 2, 2), (1, 8, 3, 3), (1, 4, 3, 3), (2,)))]
    options = (1, 1, 0, 0, 1, 1, 1, 1, True)
    assert gradcheck(lambda *tensors: vision.deform_conv2d(*tensors, *options), inputs)
    out = vision.deform_conv2d(*inputs, *options)
    cotangent = torch.ones_like(out)
    for got, want in zip(vision._deform_conv2d_backward(cotangent, *inputs, *options), torch.autograd.grad(out, inputs, cotangent),
                         strict=True):
        assert torch.allclose(got, want)


def suppressed(boxes, scores, threshold):
    kept = []
    for i in sorted(range(len(scores)), key=lambda k: -scores[k]):
        for j in kept:
            sides = np.minimum(boxes[i, 2:], boxes[j, 2:]) - np.maximum(boxes[i, :2], boxes[j, :2])
            inner = np.prod(np.maximum(sides, 0))
            areas = [np.prod(boxes[k, 2:] - boxes[k, :2]) for k in (i, j)]
            if inner / (areas[0] + areas[1] - inner) > threshold:
                break
        else:
            kept.append(i)
    return kept


@pytest.mark.parametrize("count", [0, 1, 40, 700])
@pytest.mark.parametrize("threshold", [0.2, 0.5])
def test_nms(count, threshold):
    make = np.random.default_rng(count)
    boxes = make.uniform(0, 30, (count, 4))
    boxes[:, 2:] = boxes[:, :2] + make.uniform(1, 12, (count, 2))
    scores = make.integers(0, 50, count) / 50  # with ties
    assert vision.nms(torch.tensor(boxes), torch.tensor(scores), threshold).tolist() == suppressed(boxes, scores, threshold)


def test_an_overlap_of_just_the_threshold_stays():
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 7]])
    assert vision.nms(boxes, torch.tensor([1.0, 0.5]), 0.7).tolist() == [0, 1]  # 0.7 in float32 is below 0.7
    assert vision.nms(boxes, torch.tensor([1.0, 0.5]), 0.69).tolist() == [0]


def test_wrong_input():
    with pytest.raises(RuntimeError, match="2d tensor"):
        vision.nms(torch.zeros(4), torch.zeros(1), 0.5)
    with pytest.raises(RuntimeError, match="same type"):
        vision.roi_align(torch.zeros(1, 1, 4, 4), torch.zeros(1, 5).double(), 1.0, 2, 2, 2, False)
    with pytest.raises(RuntimeError, match="multiple of pooling"):
        vision.ps_roi_align(torch.zeros(1, 5, 4, 4), torch.zeros(1, 5), 1.0, 2, 2, 2)
    with pytest.raises(NotImplementedError, match="nms_kernel"):
        vision.nms(torch.zeros(1, 4, dtype=torch.int64), torch.zeros(1, dtype=torch.int64), 0.5)
    with pytest.raises(NotImplementedError, match="quantized"):
        vision.qnms(torch.zeros(1, 4), torch.zeros(1), 0.5)


def test_libraries_that_are_unknown_are_not_loaded():
    with pytest.raises(OSError, match="no libraries of compiled operators"):
        torch.ops.load_library("somewhere/_C.so")


def test_images(tmp_path):
    pytest.importorskip("PIL")
    torch.ops.load_library("torchvision/image.so")
    codec = torch.ops.image
    picture = torch.tensor(np.random.default_rng(0).integers(0, 255, (3, 8, 9)), dtype=torch.uint8)
    assert torch.equal(codec.decode_png(codec.encode_png(picture), 0), picture)
    assert torch.equal(codec.decode_image(codec.encode_png(picture[:1]), 3), picture[:1].expand(3, -1, -1))
    assert codec.decode_jpeg(codec.encode_jpeg(picture, 90), 1).shape == (1, 8, 9)
    codec.write_file(str(tmp_path / "a"), picture[0, 0])
    assert torch.equal(codec.read_file(str(tmp_path / "a")), picture[0, 0])
    with pytest.raises(RuntimeError, match="PNG"):
        codec.decode_png(picture[0, 0], 0)
