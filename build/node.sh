# Sourced by the scripts in bin/, with $root set: makes the checkout ready and sets TOLLGATE_NODE to the pinned Node.
command -v node >/dev/null || { echo "Node is missing: install Node 20 or newer with npm (Debian: apt-get install nodejs npm)" >&2; exit 1; }
node "$root/build/setup.mjs"
TOLLGATE_NODE=$(ls -d "$root"/node_modules/node-linux-*/bin/node | head -n 1)
# Stripped and compiled sources are kept: a start is a second faster, and each thread takes 10 MB less.
NODE_COMPILE_CACHE=${NODE_COMPILE_CACHE:-$root/node_modules/.cache/tollgate}
# Each thread's own heap of the C library would keep what DuckDB once needed: 120 MB less when work is over.
MALLOC_ARENA_MAX=${MALLOC_ARENA_MAX:-2}
export TOLLGATE_NODE NODE_COMPILE_CACHE MALLOC_ARENA_MAX
