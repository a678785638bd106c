"""The files that a Raspberry Pi and Jetsons show of themselves, and trees of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

PI = {
    "sys/firmware/devicetree/base/model": "Raspberry Pi 4 Model B Rev 1.4\0",
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
    "sys/class/thermal/thermal_zone0/temp": "61342\n",
    "sys/class/thermal/cooling_device0/type": "gpio-fan\n",
    "sys/class/thermal/cooling_device0/cur_state": "1\n",
    "sys/class/hwmon/hwmon0/name": "cpu_thermal\n",
    "sys/class/hwmon/hwmon1/name": "rpi_volt\n",
    "sys/class/hwmon/hwmon1/in0_lcrit_alarm": "0\n",
    "sys/devices/platform/soc/soc:firmware/get_throttled": "80008\n",
    "sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq": "1500000\n",
    "sys/devices/system/cpu/cpufreq/policy0/cpuinfo_max_freq": "1800000\n",
    "proc/meminfo": "MemTotal:        3884360 kB\nMemFree: 1 kB\nMemAvailable:    3012344 kB\n",
}
ORIN = {
    "sys/firmware/devicetree/base/model": "NVIDIA Jetson Orin Nano Developer Kit\0",
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
    "sys/class/thermal/thermal_zone0/temp": "47500\n",
    "sys/class/thermal/thermal_zone1/type": "gpu-thermal\n",
    "sys/class/thermal/thermal_zone1/temp": "-256000\n",
    "sys/class/thermal/thermal_zone2/type": "cv0-thermal\n",
    "sys/class/thermal/thermal_zone2/temp": "99000\n",
    "sys/class/thermal/thermal_zone5/type": "soc0-thermal\n",
    "sys/class/thermal/thermal_zone5/temp": "",
    "sys/class/thermal/thermal_zone8/type": "tj-thermal\n",
    "sys/class/thermal/thermal_zone8/temp": "49218\n",
    "sys/class/thermal/cooling_device0/type": "cpufreq-cpu0\n",
    "sys/class/thermal/cooling_device0/cur_state": "0\n",
    "sys/class/thermal/cooling_device1/type": "cpu-throttle-alert\n",
    "sys/class/thermal/cooling_device1/cur_state": "1\n",
    "sys/class/thermal/cooling_device2/type": "pwm-fan\n",
    "sys/class/thermal/cooling_device2/cur_state": "3\n",
    "sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq": "729600\n",
    "sys/devices/system/cpu/cpufreq/policy4/scaling_cur_freq": "1510400\n",
    "sys/devices/system/cpu/cpufreq/policy4/cpuinfo_max_freq": "nonsense\n",
    "sys/devices/system/cpu/cpufreq/policy0/scaling_max_freq": "1728000\n",
    "sys/devices/system/cpu/cpufreq/policy0/scaling_min_freq": "729600\n",
    "sys/class/devfreq/17000000.gpu/cur_freq": "306000000\n",
    "sys/class/devfreq/17000000.gpu/max_freq": "1020000000\n",
    "sys/class/devfreq/17000000.gpu/min_freq": "306000000\n",
    "sys/class/devfreq/15340000.vic/cur_freq": "115200000\n",
    "sys/kernel/debug/bpmp/debug/clk/emc/rate": "2133000000\n",
    "sys/kernel/nvpmodel_clk_cap/emc": "3199000000\n",
    "var/lib/nvpmodel/status": "pmode:0002",
    "etc/nvpmodel.conf": "# < POWER_MODEL ID=2 NAME=OLD >\n"
    "< PARAM TYPE=CLOCK NAME=CPU_A78_0 >\n"
    "< POWER_MODEL ID=0 NAME=15W >\nCPU_ONLINE CORE_0 1\n\n"
    "< POWER_MODEL ID=2 NAME=MAXN_SUPER >\nCPU_ONLINE CORE_0 1\n\n"
    "< POWER_MODEL ID=12 NAME=7W >\n\n"
    "< PM_CONFIG DEFAULT=1 >\n",
}
THOR = {
    "sys/class/devfreq/gpu-gpc-0/cur_freq": "630000000\n",
    "sys/class/devfreq/gpu-gpc-0/max_freq": "1575000000\n",
    "sys/class/devfreq/bwmgr/cur_freq": "665600000\n",
    "sys/class/devfreq/bwmgr/max_freq": "4266000000\n",
    "sys/kernel/nvpmodel_clk_cap/emc": "0\n",
}

# Power. Names and figures are those of the reports named; what these leave out is said.

AGX_ORIN_POWER = {
    # JetPack 6: both chips as listed by a profiler's guide to boards (fastnvmetrics); channel 7 and
    # its current, and NC where nothing is connected: alumet-dev/alumet#212.
    "sys/class/hwmon/hwmon3/name": "ina3221\n",
    "sys/class/hwmon/hwmon3/in1_label": "VDD_GPU_SOC\n",
    "sys/class/hwmon/hwmon3/in1_input": "843\n",
    "sys/class/hwmon/hwmon3/curr1_input": "6170\n",
    "sys/class/hwmon/hwmon3/in2_label": "VDD_CPU_CV\n",
    "sys/class/hwmon/hwmon3/in2_input": "780\n",
    "sys/class/hwmon/hwmon3/curr2_input": "3437\n",
    "sys/class/hwmon/hwmon3/in3_label": "VIN_SYS_5V0\n",
    "sys/class/hwmon/hwmon3/in3_input": "4968\n",
    "sys/class/hwmon/hwmon3/curr3_input": "953\n",
    "sys/class/hwmon/hwmon3/in7_label": "sum of shunt voltages\n",
    "sys/class/hwmon/hwmon3/in7_input": "760\n",
    "sys/class/hwmon/hwmon3/curr4_input": "360\n",
    "sys/class/hwmon/hwmon4/name": "ina3221\n",
    "sys/class/hwmon/hwmon4/in1_label": "NC\n",
    "sys/class/hwmon/hwmon4/in1_input": "0\n",
    "sys/class/hwmon/hwmon4/curr1_input": "0\n",
    "sys/class/hwmon/hwmon4/in2_label": "VDDQ_VDD2_1V8AO\n",
    "sys/class/hwmon/hwmon4/in2_input": "1800\n",
    "sys/class/hwmon/hwmon4/curr2_input": "341\n",
}
ORIN_NX_POWER = {
    # JetPack 6: labels and VDD_IN of ARK-Electronics/ark_jetson_kernel, docs/power.md (a soak at
    # 5.016 V and 6.05 A). It does not give the two others: these figures are invented.
    "sys/class/hwmon/hwmon1/name": "ina3221\n",
    "sys/class/hwmon/hwmon1/in1_label": "VDD_IN\n",
    "sys/class/hwmon/hwmon1/in1_input": "5016\n",
    "sys/class/hwmon/hwmon1/curr1_input": "6050\n",
    "sys/class/hwmon/hwmon1/curr1_crit": "7784\n",
    "sys/class/hwmon/hwmon1/in2_label": "VDD_CPU_GPU_CV\n",
    "sys/class/hwmon/hwmon1/in2_input": "5000\n",
    "sys/class/hwmon/hwmon1/curr2_input": "3000\n",
    "sys/class/hwmon/hwmon1/in3_label": "VDD_SOC\n",
    "sys/class/hwmon/hwmon1/in3_input": "5000\n",
    "sys/class/hwmon/hwmon1/curr3_input": "1000\n",
    "sys/class/hwmon/hwmon1/in7_label": "sum of shunt voltages\n",
}
THOR_POWER = {
    # JetPack 7: labels and watts of a fan control's README (thorfan), the INA238's label file of a
    # probe (jetson_thor). Neither gives volts and amperes: these make the watts, VIN about 23.
    "sys/class/hwmon/hwmon4/name": "ina3221\n",
    "sys/class/hwmon/hwmon4/in1_label": "VDD_GPU\n",
    "sys/class/hwmon/hwmon4/in1_input": "0\n",
    "sys/class/hwmon/hwmon4/curr1_input": "0\n",
    "sys/class/hwmon/hwmon4/in2_label": "VDD_CPU_SOC_MSS\n",
    "sys/class/hwmon/hwmon4/in2_input": "1000\n",
    "sys/class/hwmon/hwmon4/curr2_input": "6510\n",
    "sys/class/hwmon/hwmon4/in3_label": "VIN_SYS_5V0\n",
    "sys/class/hwmon/hwmon4/in3_input": "5000\n",
    "sys/class/hwmon/hwmon4/curr3_input": "1304\n",
    "sys/class/hwmon/hwmon5/name": "ina238\n",
    "sys/class/hwmon/hwmon5/label": "VIN\n",
    "sys/class/hwmon/hwmon5/in1_input": "20000\n",
    "sys/class/hwmon/hwmon5/curr1_input": "1150\n",
    "sys/class/hwmon/hwmon5/power1_input": "23000000\n",
}
UPS_POWER = {
    # A battery board for the Raspberry Pi, charging: networkupstools/nut#2960.
    "sys/class/hwmon/hwmon2/name": "ina219\n",
    "sys/class/hwmon/hwmon2/in0_input": "-4\n",
    "sys/class/hwmon/hwmon2/in1_input": "4228\n",
    "sys/class/hwmon/hwmon2/power1_input": "176000\n",
    "sys/class/hwmon/hwmon2/curr1_input": "-40\n",
    "sys/class/hwmon/hwmon2/shunt_resistor": "100000\n",
}
AMDGPU_POWER = {
    # corecoding/Vitals#320.
    "sys/class/hwmon/hwmon2/name": "amdgpu\n",
    "sys/class/hwmon/hwmon2/in0_label": "vddgfx\n",
    "sys/class/hwmon/hwmon2/in0_input": "1064\n",
    "sys/class/hwmon/hwmon2/power1_label": "PPT\n",
    "sys/class/hwmon/hwmon2/power1_average": "28000000\n",
    "sys/class/hwmon/hwmon2/power1_cap": "291000000\n",
}
LAPTOP_POWER = {
    # flightlessmango/MangoHud#1776 (package, core, uncore); that the mmio zone shows the
    # same package: ColinIanKing/powerstat#4.
    "sys/class/powercap/intel-rapl:0/name": "package-0\n",
    "sys/class/powercap/intel-rapl:0/max_energy_range_uj": "262143328850\n",
    "sys/class/powercap/intel-rapl:0/energy_uj": "26963529117\n",
    "sys/class/powercap/intel-rapl:0:0/name": "core\n",
    "sys/class/powercap/intel-rapl:0:0/max_energy_range_uj": "262143328850\n",
    "sys/class/powercap/intel-rapl:0:0/energy_uj": "7980278886\n",
    "sys/class/powercap/intel-rapl:0:1/name": "uncore\n",
    "sys/class/powercap/intel-rapl:0:1/max_energy_range_uj": "262143328850\n",
    "sys/class/powercap/intel-rapl:0:1/energy_uj": "6564982278\n",
    "sys/class/powercap/intel-rapl-mmio:0/name": "package-0\n",
    "sys/class/powercap/intel-rapl-mmio:0/max_energy_range_uj": "262143328850\n",
    "sys/class/powercap/intel-rapl-mmio:0/energy_uj": "26963529117\n",
}
PSYS_POWER = {
    # The layout of powercap/powercap#3, where psys is beside the package and contains it; its
    # figures are of a test of mlco2/codecarbon.
    **LAPTOP_POWER,
    "sys/class/powercap/intel-rapl:1/name": "psys\n",
    "sys/class/powercap/intel-rapl:1/max_energy_range_uj": "262143328850\n",
    "sys/class/powercap/intel-rapl:1/energy_uj": "117870082040\n",
}


def make_files(root: Path, files: Mapping[str, str]) -> Path:
    """The files of a device, below the folder that stands for `/`."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root
