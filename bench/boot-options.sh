#!/bin/bash
# Compares ways to boot a guest: spawns QEMU, the guest loads its modules, opens its port and switches itself off.
# Prints the wall and CPU time of each variant; the runs are interleaved, so that a busy host hurts all alike.
#
#   bench/boot-options.sh TEST_GUEST [ROUNDS] [VARIANT_PATTERN]
#
# TEST_GUEST is the static program that the build makes as hypervisor_test_guest. ACCEL=kvm measures KVM;
# (The rate of the time stamp counter, which the product tells the guest, is not given here.)
# VMLINUX=FILE, the kernel taken out of its bzImage, adds what direct boot of that would give.
set -euo pipefail

guest=$(realpath "${1:?usage: $0 TEST_GUEST [ROUNDS] [VARIANT_PATTERN]}")
rounds=${2:-5}
pattern=${3:-.}
accel=${ACCEL:-tcg}
kernel=$(ls -v /boot/vmlinuz-*-cloud-amd64 | tail -1)
modules=/lib/modules/${kernel#/boot/vmlinuz-}
names="virtio_pci virtio_console pvpanic-pci virtio_blk erofs overlay virtio_net virtio-rng virtio_balloon"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

make_tree() {  # FOLDER MODULE...
  local tree=$1 n=10 module file
  shift
  mkdir -p "$tree/modules"
  cp "$guest" "$tree/init"
  mkdir "$tree/dev"
  mknod "$tree/dev/console" c 5 1 2>/dev/null || true
  for module in "$@"; do
    for file in $(modprobe --show-depends --dirname / --set-version "${modules##*/}" "$module" |
                  sed -n 's/^insmod \([^ ]*\).*/\1/p'); do
      compgen -G "$tree/modules/*-${file##*/}" >/dev/null && continue
      cp "$file" "$tree/modules/$n-${file##*/}"
      n=$((n + 1))
    done
  done
  (cd "$tree/modules" && ls >order)
  (cd "$tree" && find . | cpio --quiet -o -H newc) >"$tree.cpio"
}

make_tree "$work/full" $names
make_tree "$work/least" virtio_pci virtio_console
make_tree "$work/scsi" $names virtio_scsi sd_mod
make_tree "$work/more" $names button evdev virtio_scsi sd_mod fuse virtiofs nf_tables
gzip -1 -c "$work/full.cpio" >"$work/full.cpio.gz"
zstd -q -c "$work/full.cpio" >"$work/full.cpio.zst" || true
lz4 -q -l -c "$work/full.cpio" >"$work/full.cpio.lz4" || true
truncate -s 64M "$work/disk"

base="console=ttyS0 quiet panic=-1"
fixed="$base 8250.nr_uarts=1 random.trust_cpu=on cryptomgr.notests no_timer_check tsc=reliable mitigations=off"
chosen="$fixed swiotlb=noforce"
single="no_timer_check tsc=reliable nokaslr 8250.nr_uarts=1 cryptomgr.notests random.trust_cpu=on i8042.noaux i8042.nokbd
  i8042.nopnp i8042.noprobe mitigations=off audit=0 lsm=landlock,yama,bpf noreplace-smp rcupdate.rcu_expedited=1
  initcall_blacklist=init_kprobe_trace initcall_blacklist=acpi_init"

declare -A cpu machine tcg smp memory initramfs line devices image firmware places
order=()
q35=q35,usb=off,vmport=off,smbus=off,sata=off,hpet=off,smm=off
model=max,la57=off,erms=off,fsrm=off
variant() {  # NAME [key=value...]; the defaults are the choice of qemu/arguments.cpp
  local name=$1 setting
  shift
  [[ $name =~ $pattern ]] || return 0
  order+=("$name")
  cpu[$name]=$model machine[$name]=$q35 tcg[$name]=tb-size=64 smp[$name]=1 memory[$name]=256M,maxmem=2G
  initramfs[$name]=$work/full.cpio line[$name]=$chosen devices[$name]=all places[$name]="-device pcie-pci-bridge,id=h0"
  image[$name]=$kernel firmware[$name]=bios-256k.bin
  for setting in "$@"; do
    declare -n field=${setting%%=*}
    # shellcheck disable=SC2034
    field[$name]=${setting#*=}
  done
}

variant chosen
for other in qemu64 max max,la57=off Nehalem-v1 Haswell-v4 EPYC-v3; do variant "cpu $other" "cpu=$other"; done
variant "machine plain" "machine=q35"
variant "machine pc" "machine=pc,usb=off,vmport=off,hpet=off"
for option in hpet=on smm=on sata=on i8042=off pit=off graphics=off; do
  variant "machine $option" "machine=$q35,$option"
done
variant "firmware qboot" "firmware=qboot.rom"
if [[ -n ${VMLINUX:-} ]]; then
  variant "kernel vmlinux by PVH" "image=$VMLINUX"
  variant "kernel vmlinux by PVH, qboot" "image=$VMLINUX" "firmware=qboot.rom"
fi
variant "line only quiet" "line=$base"
for option in $single; do
  if [[ " $chosen " == *" $option "* ]]; then
    variant "line - $option" "line=${chosen/ $option/}"
  else
    variant "line + $option" "line=$chosen $option"
  fi
done
variant "line - console" "line=${chosen/console=ttyS0 /}"
variant "line - quiet" "line=${chosen/quiet /}"
for size in 8 16 32 128 512; do variant "tcg tb-size=$size" "tcg=tb-size=$size"; done
variant "tcg thread=single" "tcg=tb-size=64,thread=single"
variant "smp 2" "smp=2"
variant "smp 2, thread=single" "smp=2" "tcg=tb-size=64,thread=single"
for size in 128 512 1024 4096; do variant "memory $size" "memory=$size"; done
variant "initramfs gzip" "initramfs=$work/full.cpio.gz"
variant "initramfs zstd" "initramfs=$work/full.cpio.zst"
variant "initramfs lz4" "initramfs=$work/full.cpio.lz4"
variant "modules least" "initramfs=$work/least.cpio"
variant "modules more" "initramfs=$work/more.cpio"
variant "devices ports only" "devices=ports"
variant "devices with legacy" "devices=legacy"
variant "devices 31 ports" "devices=31"
places() {  # COUNT KIND -> a device with several functions
  local i
  for ((i = 0; i < $1; i++)); do
    printf -- '-device %s,id=h%s,chassis=%s,addr=1d.%s,multifunction=on%s ' "$2" $i $((i + 1)) $i "$3"
  done
}
bridge="-device pcie-pci-bridge,id=h0"
variant "hotplug none" "places=" "memory=256M" "line=$fixed"
variant "hotplug root port" "places=$(places 1 pcie-root-port "")"
variant "hotplug 4 root ports" "places=$(places 4 pcie-root-port "")"
variant "hotplug 8 root ports" "places=$(places 8 pcie-root-port "")"
variant "hotplug 8 root ports, little space" \
  "places=$(places 8 pcie-root-port ,io-reserve=0,mem-reserve=1M,pref64-reserve=1M)"
variant "hotplug virtio-scsi" "places=$bridge -device virtio-scsi-pci,disable-legacy=on" "initramfs=$work/scsi.cpio"
variant "hotplug 8 processors" "smp=1,maxcpus=8"
variant "hotplug swiotlb" "line=$fixed"

run() {  # NAME -> seconds of wall time, user and system
  local name=$1 accelerator=$accel modern=,disable-legacy=on ports=,max_ports=4 others=()
  [[ $accel == tcg ]] && accelerator=tcg,${tcg[$name]}
  [[ ${devices[$name]} == legacy ]] && modern=
  [[ ${devices[$name]} == 31 ]] && ports=
  # shellcheck disable=SC2054
  [[ ${devices[$name]} != ports ]] && others=(
    -device pvpanic-pci -device "virtio-rng-pci$modern" -device "virtio-balloon-pci,free-page-reporting=on$modern"
    -drive "if=none,id=d0,file=$work/disk,format=raw,read-only=on" -device "virtio-blk-pci,drive=d0,serial=image$modern"
    -netdev user,id=n0 -device "virtio-net-pci,netdev=n0,romfile=$modern")
  # shellcheck disable=SC2206
  others+=(${places[$name]})
  TIMEFORMAT='%R %U %S'
  { time timeout 60 qemu-system-x86_64 -nodefaults -no-user-config -display none -no-reboot \
      -machine "${machine[$name]}" -accel "$accelerator" -cpu "${cpu[$name]}" -smp "${smp[$name]}" -m "${memory[$name]}" \
      -kernel "${image[$name]}" -bios "${firmware[$name]}" -initrd "${initramfs[$name]}" -append "${line[$name]} -- poweroff" \
      -chardev "file,id=c0,path=$work/console" -serial chardev:c0 \
      -device "virtio-serial-pci$modern$ports" -chardev "file,id=p0,path=$work/port" \
      -device virtserialport,chardev=p0,name=berth.control "${others[@]}" \
      2>"$work/errors"; } 2>&1 || true
  grep -q hello "$work/port" || echo "failed: $name: $(tail -n 3 "$work/console" | tr '\n\r' '  ') $(cat "$work/errors")" >&2
  : >"$work/port"
}

for ((round = 0; round < rounds; round++)); do
  for name in "${order[@]}"; do
    run "$name" | tail -1 | awk -v n="$name" '{ printf "%s\t%.3f\t%.3f\n", n, $1, $2 + $3 }' >>"$work/results"
  done
done

# Of many runs on a shared host the fastest tells most about the work itself.
summary() { sort -n | awk '{ v[NR] = $1 } END { printf "%8.2f %8.2f", v[1], v[int((NR + 1) / 2)] }'; }
printf '%-50s %17s %17s\n' '' 'wall seconds' 'CPU seconds' variant '    least   median' '    least   median'
for name in "${order[@]}"; do
  printf '%-50s %s %s\n' "$name" \
    "$(awk -F'\t' -v n="$name" '$1 == n { print $2 }' "$work/results" | summary)" \
    "$(awk -F'\t' -v n="$name" '$1 == n { print $3 }' "$work/results" | summary)"
done
