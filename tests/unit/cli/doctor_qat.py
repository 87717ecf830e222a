"""hardline doctor and QAT: machines made of folders and links, each with one thing missing.

usage: doctor_qat.py HARDLINE
"""

import json
import os
import subprocess
import sys
import tempfile

HARDLINE = sys.argv[1]
PF, VF = "0000:6b:00.0", "0000:6b:00.1"
failed = 0
number = 0


def write(root, path, text):
    path = os.path.join(root, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="ascii") as file:
        file.write(text + "\n")


def link(root, path, target):
    path = os.path.join(root, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    os.symlink(target, path)


def machine(root, **but):
    """A machine with one QAT 4xxx and one virtual function, all in order but what `but` says."""
    want = dict(device="0x4940", driver="4xxx", state="up", services="asym;sym", vfs="1", vfs_max="16",
                vf_device="0x4941", vf_driver="vfio-pci", group="42", node="1", openable=True) | but
    pf, vf = f"sys/bus/pci/devices/{PF}", f"sys/bus/pci/devices/{VF}"
    write(root, f"{pf}/vendor", "0x8086")
    write(root, f"{pf}/device", want["device"])
    write(root, f"{pf}/numa_node", want["node"])
    for name, key in (("qat/state", "state"), ("qat/cfg_services", "services"), ("sriov_numvfs", "vfs"),
                      ("sriov_totalvfs", "vfs_max")):
        if want[key] is not None:
            write(root, f"{pf}/{name}", want[key])
    if want["driver"]:
        link(root, f"{pf}/driver", f"../../drivers/{want['driver']}")
    if want["vf_device"]:
        write(root, f"{vf}/vendor", "0x8086")
        write(root, f"{vf}/device", want["vf_device"])
        if want["vf_driver"]:
            link(root, f"{vf}/driver", f"../../drivers/{want['vf_driver']}")
        if want["group"]:
            link(root, f"{vf}/iommu_group", f"../../../kernel/iommu_groups/{want['group']}")
            if want["openable"]:
                write(root, f"dev/vfio/{want['group']}", "")


def findings(root):
    run = subprocess.run([HARDLINE, "doctor", "--json", "--qat-root", root], capture_output=True, text=True,
                         timeout=60, check=False)
    return [f for f in json.loads(run.stdout)["findings"] if f["what"].startswith("qat ")]


def case(name, what, verdict, words, **but):
    """The first finding called `what` has that verdict, and these words in it or in its remedy."""
    global failed, number
    number += 1
    with tempfile.TemporaryDirectory() as root:
        if but.pop("empty", False):
            os.makedirs(os.path.join(root, "sys/bus/pci/devices"))
        else:
            extra = but.pop("extra", [])
            machine(root, **but)
            for path in extra:
                write(root, path, "")
        found = findings(root)
    match = [f for f in found if f["what"] == what]
    text = match[0]["found"] + " | " + (match[0].get("remedy") or "") if match else "(not there)"
    good = bool(match) and match[0]["state"] == verdict and all(word in text for word in words)
    failed += not good
    print(f"{'ok' if good else 'not ok'} {number} - {name}")
    if not good:
        print(f"# {json.dumps(found)}")


print("TAP version 13")
case("nothing", "qat device", "ok", ["none"], empty=True)
case("all in order", "qat device", "ok",
     [PF, "driver 4xxx", "state up", "asym;sym", "1 of 16 virtual functions", "NUMA node 1"])
case("functions in order", "qat functions", "ok", ["1 of 1 virtual functions can be opened"])
case("how to use it", "qat use", "ok", ["engine:qatengine", "cryptodev:"])
case("another generation", "qat device", "ok", ["driver c6xx"], device="0x37c8", driver="c6xx", vf_device="0x37c9")
case("402xx", "qat device", "ok", [PF], device="0x4944", vf_device="0x4945")
case("no driver", "qat device", "warn", ["driver none", "modprobe qat_4xxx", "qat_4xxx.bin"], driver="",
     state=None, services=None)
case("no driver, 420xx", "qat device", "warn", ["modprobe qat_420xx"], device="0x4946", driver="")
case("no driver, c62x", "qat device", "warn", ["modprobe qat_c62x"], device="0x37c8", driver="")
case("no driver, 200xx", "qat device", "warn", ["modprobe qat_200xx"], device="0x18ee", driver="")
case("the physical function given away", "qat device", "warn", ["vfio-pci has the physical function"],
     driver="vfio-pci")
case("down", "qat device", "warn", ["it is down", f"{PF}/qat/state"], state="down")
case("compression alone", "qat device", "warn", ["cfg_services", "asym;sym"], services="dc")
case("no SR-IOV", "qat device", "warn", ["SR-IOV", "intel_iommu=on"], vfs_max=None, vfs=None, vf_device="")
case("no functions made", "qat device", "warn", ["echo 16 >", "sriov_numvfs"], vfs="0", vf_device="")
case("function without driver", "qat functions", "warn", ["0 of 1", "driver none", "dpdk-devbind.py -b vfio-pci " + VF],
     vf_driver="")
case("function of the kernel", "qat functions", "warn", ["driver 4xxxvf", "vfio-pci"], vf_driver="4xxxvf")
case("no IOMMU group", "qat functions", "warn", ["no IOMMU group", "VT-d"], group="")
case("no rights", "qat functions", "warn", ["/dev/vfio/42", "usermod"], openable=False)
case("Intel's package without its memory driver", "qat access", "warn", ["modprobe usdm_drv"],
     extra=["dev/qat_adf_ctl"])
case("Intel's package", "qat access", "ok", ["too"], extra=["dev/qat_adf_ctl", "dev/usdm_drv"])
print(f"1..{number}")
sys.exit(failed != 0)
