# make test installs what the tests need and runs all of them; the other targets expect that it ran once.
GO            ?= go
GOLANGCI_LINT := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
# the race detector needs a C compiler, the @real features their servers, loss of power mkfs.ext4 (and root)
# Programs that tests start, each with the Debian package that has it where the two differ.
PROGRAMS      := redis-server initdb:postgresql haproxy nginx:nginx-light nats-server rabbitmq-server dnsmasq:dnsmasq-base etcd:etcd-server mkfs.ext4:e2fsprogs gcc:build-essential npm chromium zsh fish tmux
DRILLS        := ./runner ./features/truth ./cmd/firedrill ./features/... ./runner/... ./cmd/... # the longest first
# Tests wait for much of their time, so three packages share two CPUs; of drills, which measure latency and are repeated if the machine was too busy, two.
# Processes with the race detector would otherwise wait for a second when they end.
RACE          := FIREDRILL_MUST_RUN=1 GORACE=atexit_sleep_ms=0 $(GO) test -race -timeout 20m

.PHONY: all fmt lint test compile test-parts test-pages test-short catalogue truth bench bench-link bench-message bench-outcomes bench-ledger soak demo install-tools docs picture

all: lint test

fmt: ## format the code
	gofmt -w cmd features injector reports runner scenarios

# golangci-lint vets for Linux; it takes the types of what the tests were built of, with the race detector, so that nothing is compiled once more.
# For macOS all is compiled in the cheapest way.
lint: ## gofmt, golangci-lint, vet for macOS
	@test -z "$$(gofmt -l cmd features injector reports runner scenarios)" || { echo "gofmt would change:"; gofmt -l cmd features injector reports runner scenarios; exit 1; }
	$(GO) mod verify
	$(GO) run -exec 'env GOFLAGS=-race' $(GOLANGCI_LINT) run ./...
	GOOS=darwin $(GO) vet -gcflags='all=-N -l' ./...

test: install-tools ## everything, with the race detector; real servers must run, not skip
	$(MAKE) compile
	$(MAKE) -j 2 test-parts test-pages
	$(RACE) -p 2 $(DRILLS)
	$(GO) test -run 'TestNoByteIs|TestRates|TestBytesAreCounted|TestResetIsNo' ./injector/link ./injector/protocols # 1 GiB each way, a thousand seeds: too much under the race detector

# Drills measure latency, and other tests wait for real servers: no compiler may run beside them.
compile: # all tests, and the program that some of them start
	$(GO) list -race -test -export ./... >/dev/null
	$(GO) build ./...
	$(GO) -C reports/testdata/browser list -test -export . >/dev/null

test-parts:
	$(RACE) -p 3 ./injector/... ./scenarios/... ./reports/...

test-pages: # the pages in a real browser: a module of its own, which needs chromium
	$(GO) test -C reports/testdata/browser -timeout 10m .

test-short: ## what needs no server and little time
	$(GO) test -short ./...

catalogue: install-tools ## each row of the catalogue holds, and is caught without its protection; a line for each
	FIREDRILL_MUST_RUN=1 $(GO) test -C ./features -run TestCatalogue -timeout 20m -catalogue

truth: install-tools ## every drill whose right verdict is known; make test runs most of them
	FIREDRILL_MUST_RUN=1 $(GO) test -v -timeout 30m ./features/truth -full

.PHONY: figures false-alarms goals safety
TIMES ?= 20
figures: install-tools ## how often known findings, and what was once judged wrongly, are judged right: tables of TIMES runs each; an hour on two quiet cores
	FIREDRILL_MUST_RUN=1 $(GO) test -C ./features -timeout 0 -run TestFindings -times $(TIMES)
	FIREDRILL_MUST_RUN=1 $(GO) test -C ./features/truth -timeout 0 -run TestTruth -cases -times $(TIMES)
	$(GO) test -timeout 0 -count $(TIMES) ./cmd/firedrill -run 'TestPlainTerminals|TestTerminalOutputIsEscaped|TestInterruptedHealingStartsNothing|TestSecondSignalExitsImmediately|TestServiceWithTakenPortIsNotReady'
	$(GO) test -timeout 0 -count $(TIMES) ./runner -run 'TestReportsHaveTheSeed|TestSecretsAreRedacted|TestUnexpectedExitIsInconclusive|TestKilledRunsLeaveNothing|TestScenariosShareLedger'
	$(GO) test -timeout 0 -count $(TIMES) ./runner/internal/effects -run TestLongListUsesConstantMemory
	$(GO) test -timeout 0 -count $(TIMES) ./scenarios/language -run 'TestIDsDependOnContentOnly|TestLongLinesAreRead|TestDeeplyNestedSystemFilesAreRejected'
	$(GO) test -timeout 0 -count $(TIMES) ./reports -run TestNothingFromTheJournalIsMarkup
	$(GO) test -timeout 0 -count $(TIMES) ./injector/message/http1 -run 'TestWithoutRulesBytesAreUnchanged|TestMessageFraming'

RUNS ?= 3
false-alarms: install-tools ## drills of systems that are right, RUNS times as they are, with half a core (needs root), and beside other programs: none may fail
	FIREDRILL_MUST_RUN=1 $(GO) test -C ./features/truth -timeout 0 -run TestTruth -correct -times $(RUNS)
	FIREDRILL_MUST_RUN=1 $(GO) test -C ./features/truth -timeout 0 -run TestTruth -correct -times $(RUNS) -under half
	FIREDRILL_MUST_RUN=1 $(GO) test -C ./features/truth -timeout 0 -run TestTruth -correct -times $(RUNS) -under load

goals: install-tools ## what verdicts rest on: seeded bugs, mutated histories, exhaustive searches, the schedule of faults, the load; then the truth suite with 1, 2 and 8 processors and a clock that steps
	$(GO) test -timeout 0 ./scenarios/check -run 'TestSeededBugs|Mutations|BruteForce|TestAmbiguous|TestPanicIsInconclusive|TestLinearizableWithinItsLimit' -more 10
	$(GO) test ./injector/message -run TestScheduleDependsOnTheSeedOnly
	$(GO) test ./runner/internal/load -run 'TestStoppedSystem|TestTransportNeverRetries'
	GOMAXPROCS=1 $(GO) test -C ./features/truth -timeout 0 -run TestTruth
	GOMAXPROCS=2 $(GO) test -C ./features/truth -timeout 0 -run TestTruth
	GOMAXPROCS=8 $(GO) test -C ./features/truth -timeout 0 -run TestTruth
	$(GO) test -C ./features/truth -timeout 0 -run 'TestTruth|TestClockSteps' -under clock

KILLS ?= 1000
safety: ## what the runner leaves when it is killed, KILLS times at random moments, hangs, or meets faults of its own, TIMES times each (the disk of a run is full: needs root)
	FIREDRILL_MUST_RUN=1 $(GO) test -v -timeout 0 ./runner -run 'TestKilledRunsLeaveNothing|TestRunThatHangsIsInconclusive|TestOwnFaults' -kills $(KILLS) -times $(TIMES)
	$(GO) test ./runner -run '^$$' -bench Abort -benchtime 20x
	$(GO) test -v ./injector/process -run 'TestGuardian|TestLease|TestHeal|TestReclaim'
	$(GO) test -v ./cmd/firedrill -run 'TestHealCommand|TestNextRunReportsLeftovers|TestLostTerminal'

bench: ## speed of the parts, for comparison on one machine
	$(GO) test -run '^$$' -bench . -benchmem ./injector/... ./scenarios/... ./runner/...

bench-link: ## links side by side with Toxiproxy, HAProxy, nginx and socat, as far as they are installed; writes bench-link.json
	$(GO) run ./injector/bench link

bench-message: ## message relays side by side with HAProxy, ReverseProxy, Toxiproxy and a plain forwarder of datagrams; writes bench-message.json
	$(GO) run ./injector/bench message

bench-outcomes: ## 20,000 requests a second for 10 s, beside vegeta's own attack; nothing else should run on the machine
	$(GO) test -run '^$$' -bench Outcomes -benchtime 1x ./runner/internal/load

bench-ledger: ## from the end of a load of a million keyed requests to its verdicts: time, memory and the size of the journal
	ulimit -v 4000000; $(GO) test -run '^$$' -bench Ledger -benchtime 1x ./runner

SOAK ?= 30m
soak: truth ## every drill of known truth, all protocols under all faults at random for SOAK, then as many messages as the goals count, and as many random histories
	$(GO) test -v -race -timeout 0 ./injector/protocols ./injector/datagram -run TestSoak -soak $(SOAK)
	$(GO) test -v -timeout 0 ./injector/protocols -run 'ProtocolErrors|TestMemory' -full
	$(GO) test ./scenarios/check

demo: ## the starter features against the demo shop
	$(GO) run ./cmd/firedrill run

docs: ## write the generated parts of the documents again, and verify their links
	$(GO) test ./cmd/firedrill -run TestREADMETables -update
	$(GO) test ./cmd/firedrill -run TestREADME

picture: ## take the pictures of a report and of the live page in the documents again; needs chromium
	-$(GO) run ./cmd/firedrill run --without "idempotency keys" --name "never heard" --tags @row-7
	chromium --headless --no-sandbox --hide-scrollbars --window-size=1180,1000 --screenshot=reports/report.png "file://$(CURDIR)/.firedrill/runs/latest/report.html" 2>/dev/null
	$(GO) test -C reports/testdata/browser -count 1 -run TestLivePageOfARun . -shots $(CURDIR)/.firedrill/shots
	cp .firedrill/shots/live.png cmd/firedrill/live.png

# Installs only what is missing, and only where apt-get is; elsewhere the tests name what they miss.
install-tools:
	@PATH="$$PATH:/usr/sbin$$(printf ':%s' /usr/lib/postgresql/*/bin)"; \
	missing=""; packages=""; for p in $(PROGRAMS); do command -v "$${p%%:*}" >/dev/null 2>&1 || { missing="$$missing $${p%%:*}"; packages="$$packages $${p##*:}"; }; done; \
	if [ -n "$$missing" ] && command -v apt-get >/dev/null 2>&1; then \
		sudo=""; [ "$$(id -u)" = 0 ] || sudo=sudo; \
		echo "installing$$missing"; \
		$$sudo apt-get update -q && $$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $$packages; \
	elif [ -n "$$missing" ]; then echo "missing:$$missing (the tests that need them will say so)"; fi
	@if command -v npm >/dev/null 2>&1; then for dir in cmd/firedrill/testdata/editor cmd/firedrill/testdata/toxiproxy reports/testdata/browser; do \
		(cd $$dir && { [ node_modules/.package-lock.json -nt package-lock.json ] || npm ci --silent --ignore-scripts --no-audit --no-fund; }) || exit 1; done; fi
