#!/usr/bin/env bash
# Builds fio with its libnfs engine, which Debian's package leaves out, from Debian's source package. Prints nothing; leaves the
# program at DIR/fio. Usage: fio.sh DIR. Needs gcc, make and libnfs-dev; no source entry of the system is changed.
set -euo pipefail

DIR="$(mkdir -p "$1" && cd "$1" && pwd)"
readonly DIR
readonly LISTS="$DIR/lists" SOURCES="$DIR/sources"

# The source entries that belong to the system's binary ones, in both forms that apt reads.
rm -rf "$SOURCES" "$LISTS"
mkdir -p "$SOURCES" "$LISTS/partial"
for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    [ ! -s "$file" ] || sed -n 's/^deb /deb-src /p' "$file" >"$SOURCES/$(basename "$file" .list).list"
done
for file in /etc/apt/sources.list.d/*.sources; do
    [ ! -s "$file" ] || sed 's/^Types:.*/Types: deb-src/' "$file" >"$SOURCES/$(basename "$file")"
done
readonly APT=(apt-get -q -o "Dir::Etc::SourceList=/dev/null" -o "Dir::Etc::SourceParts=$SOURCES" -o "Dir::State::Lists=$LISTS"
    -o "APT::Sandbox::User=root" -o "pkgCacheFile=" -o "Dir::Cache::pkgcache=" -o "Dir::Cache::srcpkgcache=")
"${APT[@]}" update
rm -rf "$DIR/src"
mkdir "$DIR/src"
cd "$DIR/src"
"${APT[@]}" source --download-only fio
for file in fio_*.orig.tar.*[!c]; do tar xf "$file" --strip-components=1; done
./configure --enable-libnfs --disable-native --disable-rados --disable-rbd --disable-http --disable-gfapi
make -j"$(nproc)" fio
./fio --enghelp | grep -qw nfs
cp fio "$DIR/fio.new"
cd "$DIR"
rm -rf "$DIR/src" "$LISTS" "$SOURCES"
mv "$DIR/fio.new" "$DIR/fio"
