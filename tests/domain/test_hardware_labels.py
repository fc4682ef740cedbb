"""Labels that promise hardware: as tables, over machines that agents describe."""

from __future__ import annotations

import pytest

from runners.hardware_labels import (
    emulated_architecture,
    gpu_labels,
    host_labels,
    model_label,
    promises_gpu,
    unproved,
)
from runners.models import Host
from tests.agent.gpu_machines import WITH_GPU, WITHOUT_GPU, MachineWithGpus


def gpu(model="NVIDIA L4", vendor="nvidia", **fields):
    return {"vendor": vendor, "model": model, "uuid": "GPU-1", "state": "ok", "mig": []} | fields


def check(key, verdict="good", words=""):
    return {"key": key, "verdict": verdict, "words": words, "fix": ""}


def host(**fields):
    return Host(**({"name": "forge-01", "os": "linux", "architecture": "x64"} | fields))


CUDA = [check("cuda.driver"), check("cuda.runtime")]


@pytest.mark.parametrize(
    ("model", "label"),
    [
        ("NVIDIA H100 80GB HBM3", "h100"),
        ("NVIDIA H100 PCIe", "h100"),
        ("NVIDIA H100 NVL", "h100"),
        ("NVIDIA H200", "h200"),
        ("NVIDIA A100-SXM4-40GB", "a100"),
        ("NVIDIA L4", "l4"),
        ("NVIDIA L40S", "l40s"),
        ("Tesla T4", "t4"),
        ("Quadro T400", "t400"),
        ("NVIDIA T400 4GB", "t400"),
        ("NVIDIA GeForce RTX 4090", "rtx-4090"),
        ("NVIDIA GeForce RTX 3080 Laptop GPU", "rtx-3080-laptop"),
        ("NVIDIA GeForce GTX 1080 Ti", "gtx-1080-ti"),
        ("NVIDIA RTX A6000", "rtx-a6000"),
        ("NVIDIA RTX 6000 Ada Generation", "rtx-6000-ada"),
        ("NVIDIA GH200 480GB", "gh200"),
        ("NVIDIA GB10", "gb10"),
        ("AMD Instinct MI300X", "mi300x"),
        ("AMD Instinct MI210", "mi210"),
        ("AMD Radeon RX 7600", "rx-7600"),
        ("Intel Arc A770", "arc-a770"),
        ("Intel(R) Data Center GPU Flex 170", "flex-170"),
        ("Intel Data Center GPU Max 1550", "max-1550"),
        ("AMD Radeon RX 7900 XT / 7900 XTX", ""),
        ("AMD Instinct MI250X / MI250", ""),
        ("NVIDIA device 0x2684", ""),
    ],
)
def test_model_has_the_label_of_its_name(model, label):
    assert model_label(model) == label
    assert promises_gpu(label) is bool(label)


@pytest.mark.parametrize(
    "label", ["self-hosted", "linux", "v12", "p99", "a1", "t3", "fast", "gpu-less", "rtx", "max-2"]
)
def test_label_of_anything_else_promises_no_gpu(label):
    assert not promises_gpu(label)


def as_told(machine: MachineWithGpus) -> list[dict[str, object]]:
    """The cards of a machine as the dashboard keeps them."""
    return [
        gpu(
            one.model,
            one.vendor,
            state=one.state,
            integrated=one.kind == "integrated",
            mig=[{"uuid": "MIG-1", "profile": "3g.20gb"}] if "instances" in machine.name else [],
        )
        for one in machine.expected
    ]


@pytest.mark.parametrize("machine", WITH_GPU, ids=lambda one: one.name)
def test_machine_with_a_gpu_carries_its_labels_and_no_other(machine):
    assert gpu_labels(host(gpus=as_told(machine))) == machine.labels


@pytest.mark.parametrize("machine", WITHOUT_GPU, ids=lambda one: one.name)
def test_machine_without_a_usable_gpu_carries_none(machine):
    assert gpu_labels(host(gpus=as_told(machine))) == set()
    assert unproved("gpu", host(gpus=as_told(machine))).startswith("no")


def test_divided_card_without_instances_has_nothing_to_give():
    empty = host(gpus=[gpu(mig=[]), gpu(state="lost")])
    assert len(empty.gpu_devices) == 1
    divided = host(gpus=[gpu(mig=[{"uuid": "MIG-1", "profile": "a"}, {"uuid": "MIG-2"}])])
    assert divided.gpu_devices == ["MIG-1", "MIG-2"]


@pytest.mark.parametrize(
    ("checks", "labels"),
    [
        (CUDA, {"cuda"}),
        ([*CUDA, check("cuda.versions", "poor")], set()),
        ([check("cuda.driver"), check("cuda.runtime", "poor")], set()),
        ([], set()),
        ([check("rocm.driver"), check("rocm.runtime")], {"rocm"}),
    ],
)
def test_cuda_and_rocm_are_labels_once_they_were_started(checks, labels):
    assert gpu_labels(host(gpus=[gpu()], checks=checks)) & {"cuda", "rocm"} == labels


@pytest.mark.parametrize(
    ("label", "fields", "why"),
    [
        ("X64", {}, ""),
        ("ARM64", {}, "x64, not arm64"),
        ("arm64", {"architecture": "arm64"}, ""),
        ("riscv64", {}, "x64, not riscv64"),
        ("x64", {"architecture": "riscv64"}, "riscv64, not x64"),
        ("arm64", {"architecture": ""}, "unknown architecture, not arm64"),
        ("Linux", {}, ""),
        ("Windows", {}, "linux, not windows"),
        ("gpu", {}, "no GPU"),
        ("gpu", {"gpus": [gpu(integrated=True)]}, "no GPU but the processor's own graphics"),
        (
            "gpu",
            {"gpus": [gpu(state="no-driver", reason="no driver: install it")]},
            "no usable GPU: NVIDIA L4 no driver: install it",
        ),
        ("GPU", {"gpus": [gpu()]}, ""),
        ("L4", {"gpus": [gpu()]}, ""),
        ("h100", {"gpus": [gpu()]}, "its GPU is no h100"),
        ("t4", {"gpus": [gpu("NVIDIA T400")]}, "its GPU is no t4"),
        ("amd", {"gpus": [gpu()]}, "its GPU is no amd"),
        ("cuda", {"gpus": [gpu()]}, "cuda is not proved there"),
        (
            "cuda",
            {"gpus": [gpu()], "checks": [check("cuda.runtime", "poor", "CUDA does not start")]},
            "cuda is not proved there: CUDA does not start",
        ),
        ("emulated-arm64", {"emulations": [{"architecture": "arm64", "slowdown": 5.0}]}, ""),
        ("emulated-arm64", {"architecture": "arm64"}, "arm64 itself: nothing is emulated there"),
        (
            "Emulated-RISCV64",
            {},
            "it can not emulate riscv64: install qemu-user-static there",
        ),
        ("my-own-label", {}, ""),
    ],
)
def test_label_is_refused_with_its_reason(label, fields, why):
    assert unproved(label, host(**fields)) == why


def test_host_names_every_label_it_proves():
    forge = host(
        gpus=[gpu()], checks=CUDA, emulations=[{"architecture": "arm64", "slowdown": None}]
    )
    assert host_labels(forge) == ["Linux", "X64", "cuda", "gpu", "l4", "nvidia", "emulated-arm64"]
    assert host_labels(host(emulated=True)) == ["Linux"]


@pytest.mark.parametrize(
    ("labels", "architecture"),
    [(["x64"], ""), (["Emulated-ARM64"], "arm64"), (["a", "emulated-riscv64"], "riscv64")],
)
def test_architecture_to_emulate_is_read_from_the_labels(labels, architecture):
    assert emulated_architecture(labels) == architecture
