#!/bin/bash
# Boots systemd as PID 1 of namespaces of its own, on a root made of this host's /usr and otherwise of memory.
# Called by machine.py as: unshare --mount --uts --ipc --pid --cgroup --net --fork --kill-child bash boot.sh ROOT
# SOURCE is the checkout, PREFIX the folder of Python as it was built, SITE its installed packages.
set -euo pipefail
root=$1

mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$root"
cd "$root"
mkdir -p usr etc/systemd/system etc/ld.so.conf.d proc sys dev run tmp root home srv opt/source opt/python \
  opt/regimen/venv/bin var/lib var/log var/cache var/tmp oldroot
mount --bind -o ro /usr usr
mount -o remount,ro,bind usr
for link in bin sbin lib lib32 lib64 libx32; do
  if [ -L "/$link" ]; then ln -s "$(readlink "/$link")" "$link"; fi
done
for kept in ld.so.conf nsswitch.conf passwd group ssl pam.d security login.defs environment alternatives protocols services; do
  if [ -e "/etc/$kept" ]; then cp -a "/etc/$kept" etc/; fi
done
tr -d - </proc/sys/kernel/random/uuid >etc/machine-id # an empty one would be a first boot, which enables everything
echo 'root:*:19000::::::' >etc/shadow
chmod 640 etc/shadow
echo 127.0.0.1 localhost >etc/hosts
chmod 1777 tmp var/tmp

# the program's Python, at a place that a hardened unit may see
mount --bind -o ro "$SOURCE" opt/source
mount -o remount,ro,bind opt/source
home=$PREFIX/bin
if [ "${PREFIX#/usr}" = "$PREFIX" ]; then
  mount --bind -o ro "$PREFIX" opt/python
  mount -o remount,ro,bind opt/python
  home=/opt/python/bin
  echo /opt/python/lib >etc/ld.so.conf.d/python.conf
  echo 'include /etc/ld.so.conf.d/*.conf' >>etc/ld.so.conf
fi
version=$(basename "$(dirname "$SITE")")
mkdir -p "opt/regimen/venv/lib/$version/site-packages"
mount --bind -o ro "$SITE" "opt/regimen/venv/lib/$version/site-packages"
mount -o remount,ro,bind "opt/regimen/venv/lib/$version/site-packages"
ln -s "$home/$version" opt/regimen/venv/bin/python
printf 'home = %s\ninclude-system-site-packages = false\n' "$home" >opt/regimen/venv/pyvenv.cfg

mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t tmpfs tmpfs sys/fs/cgroup 2>/dev/null || true
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs dev
while read -r name major minor; do mknod -m 666 "dev/$name" c "$major" "$minor"; done <<END
null 1 3
zero 1 5
full 1 7
random 1 8
urandom 1 9
tty 5 0
END
mkdir -p dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mount -t tmpfs tmpfs dev/shm
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
mount --bind -o ro proc/sys proc/sys
mount -o remount,ro,bind proc/sys
ip link set lo up

pivot_root . oldroot
umount -l /oldroot
rmdir /oldroot
/sbin/ldconfig
mount --make-rshared / # PID 1 makes mount namespaces of services out of this one
exec env -i container=regimen-tests PATH=/usr/sbin:/usr/bin:/sbin:/bin \
  /lib/systemd/systemd --system --unit=multi-user.target --log-target=console --show-status=0 </dev/null
