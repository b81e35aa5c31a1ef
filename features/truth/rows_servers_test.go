package truth

import (
	"fmt"
	"time"
)

// nginxConf returns a configuration of nginx.
func nginxConf(daemon, inHTTP, answer string) string {
	return fmt.Sprintf(`daemon %s; worker_processes 1; error_log stderr; pid nginx.pid;
events { worker_connections 512; }
http { access_log off; client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;
  %s
  server { listen 127.0.0.1:PORT; location / { %s } } }
`, daemon, inHTTP, answer)
}

// nginx is the command of a service in the folder of the row.
const nginx = `[nginx, -p, FOLDER, -c, FOLDER/nginx.conf, -e, stderr]`

// servers returns drills of real servers.
func servers() []row {
	return []row{
		{
			name: "nginx closes idle connections after a second", needs: "nginx", full: true,
			steps:  "And a steady load of 1 request per second on \"GET /a\"\nAnd a baseline is measured for 20s\nWhen 20s pass\nThen at least 97% of requests succeed\n",
			system: "services:\n  web: {command: " + nginx + ", port: PORT, serves: [/a]}\n",
			files:  map[string]string{"nginx.conf": nginxConf("off", "keepalive_timeout 1s;", `return 200 "ok\n";`)},
			want:   "passed", why: "nothing is wrong: a connection that the server closed while it was idle is the client's to know of",
		}, {
			name: "nginx closes idle connections after a second, POST with keys", needs: "nginx", full: true,
			steps:  "And a steady load of 1 request per second on \"POST /a\"\nAnd every request carries a fresh idempotency key in the \"Idempotency-Key\" header\nAnd a baseline is measured for 20s\nWhen 20s pass\nThen at least 97% of requests succeed\n",
			system: "services:\n  web: {command: " + nginx + ", port: PORT, serves: [/a]}\n",
			files:  map[string]string{"nginx.conf": nginxConf("off", "keepalive_timeout 1s;", `return 200 "ok\n";`)},
			want:   "passed", why: "nothing is wrong, and nothing is repeated",
		}, {
			name: "calls are held for longer than nginx keeps an idle connection", needs: "nginx", front: "-patience 8s", full: true,
			steps:  loadFor("GET /dep", 20, 10*time.Second, 2*time.Second) + "When calls from \"front\" to \"dep\" are delayed by 4s for 8s\nThen at least 99% of requests succeed during the fault\nAnd at least 60 calls from \"front\" to \"dep\" were affected by the fault\n",
			system: "services:\n  dep: {command: " + nginx + ", port: PORT}\n  front: {command: [SERVICE, -listen, \"127.0.0.1:${port}\", -dep, \"${link:dep}\", -patience, 8s], serves: [/], depends: {dep: http}}\n",
			// A request comes every 50 ms, and those held when the fault ends are released then: none of them in the moment in which nginx closes its connection.
			files: map[string]string{"nginx.conf": nginxConf("off", "keepalive_timeout 2025ms; client_header_timeout 2025ms;", `return 200 "ok\n";`)},
			want:  "passed", why: "the front waits for 8s and each answer comes after 4s",
		}, {
			name: "nginx puts itself into the background", needs: "nginx",
			steps:  load("GET /a", 20) + "When \"web\" crashes for 2s\nThen at least 99% of requests succeed during the fault\n",
			system: "services:\n  web: {command: " + nginx + ", port: PORT, ready: {tcp: true}, serves: [/a]}\n",
			files:  map[string]string{"nginx.conf": nginxConf("on", "", `return 200 "ok\n";`)},
			want:   "inconclusive|problem|failed", reason: `(?i)background|daemon|web|succeed`, fails: []string{`requests succeed during the fault`},
			why: "either the daemon is kept under control, and then no request succeeds while it is down, or it is refused",
		}, {
			name: "redis-server puts itself into the background, and nothing calls it", needs: "redis-server",
			steps:  load("GET /ok", 20) + "When \"db\" crashes for 2s\nThen at least 99% of requests succeed\n",
			system: "services:\n  db: {command: [redis-server, --port, \"${port}\", --daemonize, \"yes\", --save, \"\"], ready: {tcp: true}}\n  web: {command: [SERVICE, -listen, \"127.0.0.1:${port}\"], serves: [/]}\n",
			want:   "inconclusive|problem", reason: `(?i)background|daemon|db|` + touched,
			why: "nothing depends on it, and it is not under the program's control unless it is found",
		}, {
			name: "replies of redis-server are late", needs: "redis-server",
			steps:  loadFor("POST /incr", 40, 5*time.Second, 2*time.Second) + keyed("GET /ledger") + settled + "When replies from \"redis\" to \"counter\" are delayed by 300ms for 3s\nThen at least 40 messages from \"counter\" to \"redis\" were affected by the fault\nAnd at least 99% of requests succeed\nAnd every acknowledged request is applied exactly once\n",
			system: counter, want: "passed", why: "the counter waits for as long, and counts each once",
		}, {
			name: "redis-server pushes nothing, and what it pushes is late", needs: "redis-server",
			steps:  loadFor("POST /incr", 20, 5*time.Second, 2*time.Second) + keyed("GET /ledger") + "When messages from \"redis\" to \"counter\" are delayed by 500ms for 2s\nThen at least 99% of requests succeed\n",
			system: counter, want: "inconclusive|problem", reason: `(?i)repl|push|` + touched,
			why: "what redis-server sends are replies",
		}, {
			name: "an operation in lower case", needs: "redis-server",
			steps:  loadFor("POST /incr", 40, 5*time.Second, 2*time.Second) + keyed("GET /ledger") + settled + "When only \"incr\" messages from \"counter\" to \"redis\" are delayed by 100ms for 2s\nThen at least 20 messages from \"counter\" to \"redis\" were affected by the fault\nAnd at least 99% of requests succeed\n",
			system: counter, want: "passed|problem", reason: `INCR`,
			why: "it is understood as what it means, or refused; it does not match nothing",
		}, {
			name: "an operation that the link does not carry", needs: "redis-server",
			steps:  loadFor("POST /incr", 20, 5*time.Second, 2*time.Second) + keyed("GET /ledger") + settled + "When only \"HGETALL\" messages from \"counter\" to \"redis\" are delayed by 100ms for 2s\nThen at least 99% of requests succeed\n",
			system: counter, want: "inconclusive", reason: `INCR`,
			why: "the counter sends INCR; the reason names what was seen",
		}, {
			name: "a master of Redis that was replaced is read when it has become a replica", needs: "redis-server", alone: true, full: true,
			steps:  replaced + "And effects settle within 60s\nAnd effects are read once the command \"replica\" says \"2\"\n" + isolated,
			system: sentinel, want: "failed", reason: `(?i)lost`, fails: []string{`no acknowledged request is lost`},
			why: "Sentinel made the other server the master; what the old one took meanwhile is gone when it has become a replica",
		}, {
			name: "a master of Redis that was replaced is read at once", needs: "redis-server", alone: true, full: true,
			steps:  replaced + settled + isolated,
			system: sentinel, want: "inconclusive", reason: `would have passed`,
			why: "it still has what it took, so that nothing seems lost; but no request met the fault, and no sentence says when effects have arrived",
		},
	}
}

// Requests go to the old master all the time.
var (
	replaced = loadFor("POST /incr", 40, 2*time.Second, 2*time.Second) + keyed("GET /ledger")
	isolated = "When \"redis\" is cut off from \"other\", \"sentinel\" for 5s\n" + lost
)

// sentinel is a system of two servers of Redis. Sentinel makes other the master when redis does not answer for a second,
// and makes redis its replica later.
const sentinel = `
services:
  redis:
    command: [redis-server, --bind, "127.0.0.1", --port, "${port}", --dir, "${dir}", --save, "", --appendonly, "no"]
    ready: {line: Ready to accept connections, within: 20s}
  other:
    command: [sh, -c, 'exec redis-server --bind 127.0.0.1 --port "$0" --dir "$1" --save "" --replicaof $(echo "$2" | tr : " ")', "${port}", "${dir}", "${link:redis}"]
    ready: {line: "MASTER <-> REPLICA sync: Finished with success", within: 20s}
    depends: {redis: tcp}
  sentinel:
    command: [sh, -c, 'printf "sentinel monitor it %s 1\nsentinel down-after-milliseconds it 1000\nsentinel failover-timeout it 3000\n" "$(echo "$2" | tr : " ")" >"$1/s.conf" && exec redis-server "$1/s.conf" --sentinel --bind 127.0.0.1 --port "$0"', "${port}", "${dir}", "${link:redis}"]
    ready: {line: "slave slave", within: 30s}
    depends: {redis: tcp, other: tcp}
  counter:
    command: ["${self}", service, counter, --listen, "127.0.0.1:${port}", --link, "${link:redis}", --direct, "${address:redis}"]
    ready: {http: /livez, within: 20s}
    serves: [/]
    depends: {redis: redis}
commands:
  replica: {of: redis, run: [sh, -c, 'redis-cli -p "$0" info replication | grep -c -e role:slave -e master_link_status:up', "${port}"]}
`

const counter = `
services:
  redis:
    command: [redis-server, --bind, "127.0.0.1", --port, "${port}", --dir, "${dir}", --save, "", --appendonly, "no"]
    ready: {line: Ready to accept connections, within: 20s}
  counter:
    command: ["${self}", service, counter, --listen, "127.0.0.1:${port}", --link, "${link:redis}", --direct, "${address:redis}"]
    ready: {http: /livez, within: 20s}
    serves: [/]
    depends: {redis: redis}
`
