package browser

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// output collects what a program prints.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// liveRun is a program that shows a run as a page.
type liveRun struct {
	cmd                   *exec.Cmd
	keys                  io.WriteCloser
	out                   output
	runs                  string
	watchPage, takingPart string // their addresses
}

// startLive starts a run with its page, and waits until the program has printed the text ready. If the machine was too busy
// for a steady baseline, it starts another one.
func startLive(t *testing.T, keys, ready string, args ...string) *liveRun {
	t.Helper()
	program := buildProgram(t)
	for range 10 {
		l := &liveRun{runs: t.TempDir()}
		l.cmd = exec.CommandContext(t.Context(), program, append(args, "--web", "--dir", l.runs)...)
		l.cmd.Stdout, l.cmd.Stderr = &l.out, &l.out
		var err error
		if l.keys, err = l.cmd.StdinPipe(); err != nil {
			t.Fatal(err)
		}
		if err := l.cmd.Start(); err != nil {
			t.Fatal(err)
		}
		l.press(t, keys)
		addresses := l.until(t, `watch at +(\S+)\ntake part at (\S+)`)
		l.watchPage, l.takingPart = addresses[1], addresses[2]
		if l.until(t, ready+`|nothing was injected`)[0] == ready {
			return l
		}
		_ = l.keys.Close()
		_ = l.cmd.Wait()
	}
	t.Fatal("no baseline was steady")
	return nil
}

// buildProgram builds firedrill, and returns its path.
func buildProgram(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "firedrill")
	build := exec.Command("go", "build", "-C", "../../..", "-o", program, "./cmd/firedrill")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build firedrill: %v\n%s", err, out)
	}
	return program
}

func (l *liveRun) press(t *testing.T, keys string) {
	t.Helper()
	if _, err := io.WriteString(l.keys, keys); err != nil {
		t.Fatal(err)
	}
}

// until waits until the program has printed a pattern, and returns what matches.
func (l *liveRun) until(t *testing.T, pattern string) []string {
	t.Helper()
	want := regexp.MustCompile(pattern)
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if found := want.FindStringSubmatch(l.out.String()); found != nil {
			return found
		}
	}
	t.Fatalf("the program does not print %s:\n%s", pattern, &l.out)
	return nil
}

// open opens the page twice: to watch, and to take part. Both may only send requests to the program.
func (l *liveRun) open(t *testing.T) (watch, part *tab) {
	t.Helper()
	ours := func(request string) bool { return strings.HasPrefix(request, l.watchPage) }
	return openAt(t, "watch", l.watchPage, ours), openAt(t, "part", l.takingPart, ours)
}

// recorded fails the test unless the journal has all texts.
func (l *liveRun) recorded(t *testing.T, texts ...string) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(l.runs, "latest", "journal.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range texts {
		if !strings.Contains(string(raw), want) {
			t.Errorf("the journal lacks %s", want)
		}
	}
}

// until waits until an expression is true on a page.
func (o *tab) until(expression string) {
	o.t.Helper()
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if ask[bool](o, expression) {
			return
		}
	}
	o.t.Fatalf("never true: %s; the page shows:\n%s", expression, ask[string](o, `document.body.innerText`))
}

// write sets the text of a field. Keys would go to whatever has the focus, which changes between two tabs.
func (o *tab) write(field, text string) {
	o.t.Helper()
	o.run(chromedp.Evaluate(`document.getElementById("`+field+`").value = `+jsonText(text), nil))
}

// click clicks a button, by its selector. The page changes so often that chromedp would not find where it is.
func (o *tab) click(button string) {
	o.t.Helper()
	o.run(chromedp.Evaluate(`document.querySelector("`+button+`").click()`, nil))
}

// TestLivePage plays a blind game day with two people at pages: one watches, and the other writes a note, heals and aborts.
func TestLivePage(t *testing.T) {
	t.Parallel()
	d := startLive(t, "ccc", "next: inject", "gameday", "../../../cmd/firedrill/testdata/gameday/day.yaml", "--as", "ana", "--blind")
	watch, part := d.open(t)
	part.until(`next.innerText.includes('inject: "comments" hangs') && !acts.hidden`)
	watch.until(`link.innerText == "live, read-only" && asked.hidden && acts.hidden`)
	d.press(t, "c")

	part.until(`/"comments" hangs\s+live for \d+:\d\d, \d+:\d\d left/.test(faults.innerText)`)
	part.until(`document.querySelector("#stop meter").value > 0 && /has held for \d+ of 300s/.test(document.getElementById("stop").innerText)`)
	watch.until(`document.getElementById("stop").innerText.startsWith("a stop rule")`)
	watch.until(`/^a fault\s+live for \d+:\d\d$/.test(faults.innerText.trim())`)
	watch.until(`parseFloat(success.innerText) < 50 && / ms$/.test(p99.innerText)`)
	before := ask[string](watch, `document.querySelector("#latency .p99").getAttribute("points")`)
	watch.until(`document.querySelector("#latency .p99").getAttribute("points").split(" ").length > ` + jsonText(len(strings.Fields(before))+1))
	watch.until(`document.querySelectorAll("#shares .span").length == 1`)

	const hostile = `<img src=x onerror=alert(1)> the pager stayed silent`
	part.write("by", "ben")
	part.write("text", hostile)
	part.click("#form button")
	part.until(`text.value == ""`)
	for _, o := range []*tab{watch, part} {
		o.until(`notes.innerText.includes(` + jsonText("ben: "+hostile) + `)`)
	}
	shoot(watch, "live-watch")
	shoot(part, "live-part")
	if text := ask[string](watch, `document.documentElement.outerHTML`); strings.Contains(text, "comments") || strings.Contains(text, "fewer than 1%") {
		t.Error("the page of a blind day says what is live, or what is watched")
	}
	part.examine()
	part.run(emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}), emulation.SetDeviceMetricsOverride(390, 844, 2, true))
	part.examine()
	part.run(chromedp.Evaluate(`acts.scrollIntoView()`, nil))
	shoot(part, "live-phone")
	part.click("#heal")
	watch.until(`faults.innerText.trim() == "none" && notes.innerText.includes("ben: healed by hand")`)
	// Both clicks in one expression: the page forgets the first one after a while.
	if !ask[bool](part, `abort.click(), abort.textContent.includes("Click again") && (abort.click(), true)`) {
		t.Error("the first click on Abort does not ask for a second one")
	}
	for _, o := range []*tab{watch, part} {
		o.until(`where.innerText == "over: stopped" && link.innerText == "the run has ended"`)
	}
	watch.close()
	part.close()

	err := d.cmd.Wait()
	var exited *exec.ExitError
	if !errors.As(err, &exited) || exited.ExitCode() != 4 {
		t.Errorf("the program ends with %v:\n%s", err, &d.out)
	}
	d.recorded(t, `"by":"ben","kind":"note"`, `"by":"ben","kind":"heal"`, `"by":"ben","kind":"abort"`, `stopped: aborted by ben`, `the pager stayed silent`)
}

// TestLivePageOfARun: the page of an ordinary run shows its fault to all, and who has the token can heal it. No key is read.
func TestLivePageOfARun(t *testing.T) {
	t.Parallel()
	l := startLive(t, "!q", `inject: "comments" hangs`, "run", "../../../cmd/firedrill/testdata/gameday/day.feature:9")
	watch, part := l.open(t)
	for _, o := range []*tab{watch, part} {
		o.until(`where.innerText == "comments hang, fault" && /"comments" hangs\s+live for \d+:\d\d, \d+:\d\d left/.test(faults.innerText)`)
	}
	watch.until(`link.innerText == "live, read-only" && ![...document.querySelectorAll("button, input")].some(e => e.checkVisibility())`)
	part.until(`parseFloat(fallbacks.innerText) > 50 && /[1-9]\d* of \d+ calls affected/.test(faults.innerText)`)
	part.write("by", "ben")
	for _, did := range [][2]string{{"detected", "detected"}, {"mitigated", "mitigated"}, {"heal", "healed by hand"}} {
		part.click("#" + did[0])
		watch.until(`notes.innerText.includes("ben: ` + did[1] + `")`)
		if did[0] == "mitigated" {
			shoot(part, "live") // of the documents, which make picture writes
		}
	}
	for _, o := range []*tab{watch, part} {
		o.until(`where.innerText.startsWith("over: ") && faults.innerText.trim() == "none" && acts.hidden`)
	}
	watch.close()
	part.close()
	_ = l.cmd.Wait() // whether its check passes is not the question
	l.recorded(t, `"text":"detected","by":"ben","kind":"detected"`, `"text":"mitigated","by":"ben","kind":"mitigated"`, `"by":"ben","kind":"heal"`)
}

// jsonText returns a value as an expression of JavaScript.
func jsonText(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err) // texts and numbers only
	}
	return string(text)
}
