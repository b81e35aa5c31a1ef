package truth

// onDisk returns a system whose front keeps its orders in a file, in a data folder that can lose power.
func onDisk(options string) string {
	return `services:
  front:
    command: [SERVICE, -listen, "127.0.0.1:${port}", -dep, "${link:back}", -file, "${dir}/data/ledger", ` + options + `]
    data: {folder: data, size: 32 MB}
    serves: [/]
    depends: {back: http}
  back: {command: [SERVICE, -listen, "127.0.0.1:${port}"]}
`
}

// postgresOnDisk returns a system that stores orders in PostgreSQL, whose data folder can lose power.
func postgresOnDisk(options string) string {
	return `services:
  postgres:
    command: ["${self}", service, postgres, --listen, "127.0.0.1:${port}", --dir, "${dir}/data"` + options + `]
    data: {folder: data}
    ready: {line: database system is ready to accept connections, within: 60s}
  orders:
    command: ["${self}", service, orders, --listen, "127.0.0.1:${port}", --link, "${link:postgres}", --direct, "${address:postgres}"]
    ready: {http: /livez, within: 20s}
    serves: [/]
    depends: {postgres: postgres}
commands:
  sync: {of: postgres, run: [sync, -f, "${dir}/data"]}
`
}

// powerLosses returns drills that tell a loss of power from a crash.
func powerLosses() []row {
	return []row{
		{
			name: "orders are written before they are acknowledged, and power is lost", system: onDisk(`-status, "201"`), power: true,
			steps: orderLoad(40) + settled + "When \"front\" loses power for 500ms\n" + lost,
			want:  "failed", reason: `(?i)lost`, fails: []string{`no acknowledged request is lost`},
			why: "what the kernel was given is not on the disk",
		}, {
			name: "orders are synced before they are acknowledged, and power is lost", system: onDisk(`-sync`), power: true,
			steps: orderLoad(40) + settled + "When \"front\" loses power for 500ms\n" + lost + "And no effect appears that was never requested\n",
			want:  "passed", why: "what was synced is on the disk",
		}, {
			name: "orders are written before they are acknowledged, and the service is killed", system: onDisk(`-status, "201"`),
			steps: orderLoad(40) + settled + "When \"front\" crashes for 500ms\n" + lost,
			want:  "passed", why: "what the kernel was given outlives the process: a crash is no loss of power",
		}, {
			name: "PostgreSQL commits with fsync, and power is lost", system: postgresOnDisk(", --fsync"), power: true, needs: "initdb", full: true,
			steps: orderLoad(40) + settled + "When \"postgres\" loses power for 500ms\n" + lost + "And no request is applied more than once\n",
			want:  "passed", why: "a commit is acknowledged when its log is synced",
		}, {
			name: "PostgreSQL commits without fsync, and power is lost", system: postgresOnDisk(""), power: true, needs: "initdb", full: true,
			steps: orderLoad(40) + settled + "When the command \"sync\" is run\nAnd 1s passes\nAnd \"postgres\" loses power for 500ms\n" + lost,
			want:  "failed|inconclusive", reason: `(?i)lost|start`, fails: []string{`no acknowledged request is lost`},
			why: "what was committed after the last sync is gone; the files may also be so damaged that the server does not start",
		},
	}
}
