package journal

import (
	"bytes"
	"encoding/json"
	"io"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRedactText(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"dial postgres://app:hunter2@db:5432/x?sslmode=off": "dial postgres://app:***@db:5432/x?sslmode=***",
		"https://ghp_abc123@github.com/x":                   "https://***@github.com/x",
		"amqp://u:p@ss@mq:5672 and redis://:pw@cache":       "amqp://u:***@mq:5672 and redis://:***@cache",
		"app:hunter2@tcp(db:3306)/x":                        "app:***@tcp(db:3306)/x",
		"host=db user=app password=hunter2 dbname=x":        "host=db user=app password=*** dbname=x",
		"password='two words' sslmode=off":                  "password=*** sslmode=off",
		"DB_PASSWORD=hunter2":                               "DB_PASSWORD=***",
		"api-key: abc, next":                                "api-key: ***, next",
		`{"token": "abc", "n": 1}`:                          `{"token": ***, "n": 1}`,
		"svc --password hunter2 --listen :80":               "svc --password *** --listen :80",
		"svc --api-key=abc -v":                              "svc --api-key=*** -v",
		"curl -u app:hunter2 x":                             "curl -u app:*** x",
		"Authorization: Basic YXBwOng=":                     "Authorization: ***",
		"sent Bearer abc.def-ghi to x":                      "sent Bearer *** to x",
		"GET /a?token=abc&n={{n}}&x=":                       "GET /a?token=***&n={{n}}&x=",
		`a load on "GET /a?id=7" runs`:                      `a load on "GET /a?id=***" runs`,
		`only calls with header "Tenant: acme" are delayed`: `only calls with header "Tenant: ***" are delayed`,

		"X-Token:abc and 'cookie':'x y'": "X-Token:*** and 'cookie':***",
		`{"pin": 1, "password":12345}`:   `{"pin": 1, "password":***}`,

		"redis-server --requirepass hunter2":        "redis-server --requirepass ***",
		"requirepass=hunter2 DB_PASS=x auth.pass=y": "requirepass=*** DB_PASS=*** auth.pass=***",
		"svc --password -hunter2":                   "svc --password ***",
		"--auth app:hunter2":                        "--auth app:***",
		"AccountKey=abc==;":                         "AccountKey=***;",
		"Cookie: sid=1; session=hunter2":            "Cookie: ***",
		"sent Basic YXBwOng=":                       "sent Basic ***",
		"a eyJhbGciOi.abc.sig b":                    "a *** b",
		"postgres://app:a/b/c@h/db":                 "postgres://app:***@h/db",
		"https://h/?hunter2":                        "https://h/?***",
		"-----BEGIN PRIVATE KEY-----\nx\n-----END":  "-----BEGIN PRIVATE KEY-----***-----END",

		// Text without secrets is kept.
		"http://127.0.0.1:8080/a and basic tests of a token ring":                       "http://127.0.0.1:8080/a and basic tests of a token ring",
		"features/token.feature:12 and api-key.feature:7:":                              "features/token.feature:12 and api-key.feature:7:",
		`link "orders -> token-store": dial tcp 127.0.0.1`:                              `link "orders -> token-store": dial tcp 127.0.0.1`,
		`service "token-store": exited with status 7`:                                   `service "token-store": exited with status 7`,
		"dial tcp token-store:8080: connection refused":                                 "dial tcp token-store:8080: connection refused",
		`"password={{key}}"`:                                                            `"password={{key}}"`,
		`every request carries a fresh idempotency key in the "Idempotency-Key" header`: `every request carries a fresh idempotency key in the "Idempotency-Key" header`,
		`fallbacks, marked by header "X-Degraded: true"`:                                `fallbacks, marked by header "X-Degraded: true"`,
		"dial tcp 127.0.0.1:9001: connect: connection refused":                          "dial tcp 127.0.0.1:9001: connect: connection refused",
		"was it the link's address?":                                                    "was it the link's address?",
		"http://127.0.0.1:8080/x":                                                       "http://127.0.0.1:8080/x",
		"orders -> payments":                                                            "orders -> payments",
		"key 7f3a: 2 effects (o-12, o-19)":                                              "key 7f3a: 2 effects (o-12, o-19)",
		"features/a.feature:12":                                                         "features/a.feature:12",
		"p99 = 12ms":                                                                    "p99 = 12ms",
	} {
		got := RedactText(text)
		assert.Equal(t, want, got)
		assert.Equal(t, got, RedactText(got), "redacting again changes nothing")
	}
}

// TestWriterRedactsEveryText: a secret in any text of any event is not written to the journal, and the returned
// event keeps it.
func TestWriterRedactsEveryText(t *testing.T) {
	t.Parallel()
	const url = "postgres://app:CANARY@db"
	events := []Event{
		{Run: &Run{Command: []string{"firedrill", "--password", "CANARY", "--token=CANARY", url}}},
		{Begin: &Begin{ID: "s", Name: url, Steps: []Step{{Text: `on "GET /a?token=CANARY"`}}}},
		{Sample: &Sample{Route: "GET /a?token=CANARY", Errors: map[string]int{url: 1}}},
		{Fault: &Fault{Sentence: `only calls with header "Authorization: Bearer CANARY" are lost`}},
		{Effects: &Effects{Source: "GET /ledger?key=CANARY", Error: url}},
		{Process: &Process{Detail: "log: \"dsn=" + url + "\"\npassword: CANARY\nAuthorization: Bearer CANARY"}},
		{Verdict: &Verdict{Check: `"GET /a?x=CANARY" is not affected`, Details: []string{url}}},
		{End: &End{Reason: "Authorization: Bearer CANARY"}},
	}
	var out bytes.Buffer
	w := NewWriter(&out, time.Now())
	for _, e := range events {
		kept := w.Write(e)
		raw, err := json.Marshal(kept)
		require.NoError(t, err)
		assert.Contains(t, string(raw), "CANARY", "the event that checks see is as it was")
		shown, err := json.Marshal(w.Redact(kept))
		require.NoError(t, err)
		assert.NotContains(t, string(shown), "CANARY")
	}
	require.NoError(t, w.Err())
	assert.NotContains(t, out.String(), "CANARY")
	assert.Contains(t, out.String(), `"GET /a?token=***"`)
	for line := range strings.Lines(out.String()) {
		assert.True(t, json.Valid([]byte(line)), line)
	}
}

func FuzzRedact(f *testing.F) {
	f.Add(`a://b:c@d "x\": --password y`, "token")
	f.Fuzz(func(t *testing.T, a, b string) {
		line, err := encode(Event{Note: &Note{Text: a}, Run: &Run{Command: []string{b, a}}})
		if err != nil {
			t.Fatal(err)
		}
		if out := new(redactor).document(line); !json.Valid(out) {
			t.Fatalf("%s", out)
		}
	})
}

func BenchmarkWrite(b *testing.B) {
	for _, route := range []string{"POST /orders", "POST /orders?id={{n}}&token=x"} {
		b.Run(route, func(b *testing.B) {
			w := NewWriter(io.Discard, time.Now())
			e := Event{Scenario: "orders-survive", Request: &Request{Key: "7f3a-0001-12", Route: route, Window: During, Outcome: "acknowledged", Digest: "1f2e3d", Attempts: []Attempt{{Error: "timeout"}, {Status: 200}}}}
			b.ReportAllocs()
			for b.Loop() {
				w.Write(e)
			}
		})
	}
}

// Values that are hidden are redacted wherever they occur, also escaped and in the middle of a word, but not in the
// names of fields.
func TestHiddenValues(t *testing.T) {
	const canary = `a"b/c d`
	var b bytes.Buffer
	w := NewWriter(&b, time.Now())
	w.Write(Event{Scenario: "scenario", Note: &Note{Text: "before: " + canary}})
	w.Hide(canary, "scenario")
	e := w.Write(Event{Scenario: "x", Note: &Note{Text: "plain " + canary + ", quoted " + strconv.Quote(canary) + ", in a URL " + url.QueryEscape(canary) + " " + url.PathEscape(canary) + ", xscenariox"}})
	lines := strings.Split(b.String(), "\n")
	assert.Contains(t, lines[0], `a\"b/c d`, "redaction is not retroactive")
	assert.Contains(t, lines[1], `"scenario":"x"`)
	assert.Contains(t, lines[1], `plain ***, quoted \"***\", in a URL *** ***, x***x`)
	assert.Equal(t, "a *** b", w.RedactText("a "+canary+" b"))
	assert.Equal(t, "token=x ***", w.Hidden().Redact("token=x "+canary), "nothing else")
	assert.Contains(t, e.Note.Text, canary, "checks compare names that are not redacted")
	assert.NotContains(t, w.Redact(e).Note.Text, canary)
}
