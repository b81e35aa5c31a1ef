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
		},
	}
}
