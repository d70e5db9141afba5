# Sourced by the scripts in bin/: installs Debian packages for commands that are missing when this runs as root, else
# names them and ends. `need COMMAND:PACKAGE...`; a path stands for a file, and may have a `*`.
is_there() {
  case $1 in
    /*) compgen -G "$1" >/dev/null ;;
    # Debian keeps some where an ordinary user's PATH doesn't look.
    *) PATH=$PATH:/usr/sbin command -v "$1" >/dev/null ;;
  esac
}
need() {
  local pair missing=()
  for pair in "$@"; do
    is_there "${pair%%:*}" || missing+=("${pair#*:}")
  done
  ((${#missing[@]})) || return 0
  if [ "$(id -u)" != 0 ]; then
    echo "missing: ${missing[*]}; install with: apt-get install ${missing[*]}" >&2
    exit 1
  fi
  echo "installing ${missing[*]}" >&2
  (apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${missing[@]}") >/dev/null
}
# What a cluster on this machine needs: Redis, and Java with Maven for Kafka.
cluster_packages=(redis-server:redis-server openssl:openssl setpriv:util-linux java:default-jre-headless mvn:maven)
# What brings usage events from Kafka to Elasticsearch, and Elasticsearch itself.
elastic_packages=(rsyslogd:rsyslog '/usr/lib/*/rsyslog/imkafka.so:rsyslog-kafka' '/usr/lib/*/rsyslog/omelasticsearch.so:rsyslog-elasticsearch' unzip:unzip)
# What looks at the one file and runs it for another architecture.
file_packages=(readelf:binutils systemd-analyze:systemd qemu-aarch64-static:qemu-user-static mmdebstrap:mmdebstrap systemd-nspawn:systemd-container)
# What runs the playbooks, and makes machines for them.
deploy_packages=(ansible-playbook:ansible-core ssh:openssh-client mkfs.ext4:e2fsprogs mmdebstrap:mmdebstrap systemd-nspawn:systemd-container)
