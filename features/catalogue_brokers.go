package features

// brokerRows lists the rows about clusters of message brokers.
func brokerRows() []Row {
	return []Row{
		{
			N: "18", File: "real/jetstream.feature", Without: "replicas",
			Claim: "a stream that three NATS servers keep loses nothing when the server that leads it is cut off or crashes",
			CaughtBy: []string{
				`every request succeeds`,
				`no request takes longer than 15s`,
			},
		},
		{
			N: "18", File: "real/sentinel.feature", Without: "waiting for the replica",
			Claim:    "a client of Redis that waits for the replica loses nothing when Sentinel replaces a master that is cut off",
			CaughtBy: []string{`no acknowledged request is lost`},
		},
	}
}

// brokerFindings lists what clusters of message brokers are known to lose.
func brokerFindings() []Finding {
	loss := func(file, scenario string) Finding {
		return Finding{File: file, Scenario: scenario, Fails: []string{exactlyOnce, noneLost}, Effects: SomeLost, Slow: true}
	}
	return []Finding{
		loss("real/jetstream-loss.feature", "the leader is cut off, and the publisher does not wait for acknowledgements"),
		loss("real/sentinel-loss.feature", "the master is cut off, and the client does not wait for the replica"),
	}
}
