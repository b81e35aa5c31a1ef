package message

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

// In each second from the beginning, as many messages pass as the quota allows, however late the second begins to be used.
func TestQuotaPassesItsNumberInEachSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := quota{began: time.Now()}
		passed := func(n int) (passed int) {
			for range n {
				if !q.exceeded(3) {
					passed++
				}
			}
			return passed
		}
		assert.Equal(t, 2, passed(2))
		time.Sleep(999 * time.Millisecond)
		assert.Equal(t, 1, passed(5), "the first second is not over")
		time.Sleep(time.Millisecond)
		assert.Equal(t, 3, passed(5), "windows do not roll")
		time.Sleep(10 * time.Second)
		assert.Equal(t, 3, passed(9), "what was not used is not kept")
		for range 3 {
			assert.True(t, q.exceeded(0), "without a quota every message is chosen")
		}
	})
}

func TestQuotaIsAdvertised(t *testing.T) {
	r := Rule{Quota: 100, RetryAfter: 1500 * time.Millisecond, Headers: []string{"X-Reason: a: b"}}
	assert.Equal(t, []Header{{"Retry-After", "2"}, {"RateLimit-Policy", `"default";q=100;w=1`}, {"RateLimit", `"default";r=0;t=1`}, {"X-Reason", "a: b"}}, r.AnswerHeaders())
	assert.Empty(t, Rule{}.AnswerHeaders())
}

func TestHeadersThatARuleCannotChange(t *testing.T) {
	for header, want := range map[string]string{
		"":                  "write its name and value",
		"a b: c":            "write its name and value",
		"X-A: \x00":         "write its name and value",
		"X-A:":              `header "X-A:" has no value: write one, as in X-A: 1`,
		"Content-Length: 3": "where a message ends",
		"HOST":              "where a message ends",
		"transfer-encoding": "where a message ends",
	} {
		for _, do := range []Action{EditRequest, EditReply} {
			assert.ErrorContains(t, Rule{Action: do, Headers: []string{"X-Fine", header}}.validate(), want)
		}
	}
	assert.ErrorContains(t, Rule{Action: Answer, Headers: []string{"X-A"}}.validate(), "has no value")
	assert.ErrorContains(t, Rule{Action: EditReply}.validate(), "no header is named")
	assert.ErrorContains(t, Rule{Action: CutReply}.validate(), "write 1 or more")
	assert.ErrorContains(t, Rule{Action: CutReply, Events: 1, EndWith: "gone"}.validate(), "is not one of")
	assert.NoError(t, Rule{Action: EditRequest, Headers: []string{"Authorization", "X-A: b"}}.validate())
}
