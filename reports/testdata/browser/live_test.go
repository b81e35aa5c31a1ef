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

// liveDay is a game day that runs.
type liveDay struct {
	cmd                   *exec.Cmd
	keys                  io.WriteCloser
	out                   output
	runs                  string
	watchPage, takingPart string // their addresses
}

// startDay starts a blind game day with its page, and waits for the question before the first injection. It returns nil if
// the machine was too busy for that.
func startDay(t *testing.T, program string) *liveDay {
	t.Helper()
	d := &liveDay{runs: t.TempDir()}
	d.cmd = exec.CommandContext(t.Context(), program, "gameday", "../../../cmd/firedrill/testdata/gameday/day.yaml", "--as", "ana", "--web", "--blind", "--dir", d.runs)
	d.cmd.Stdout, d.cmd.Stderr = &d.out, &d.out
	var err error
	if d.keys, err = d.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	d.press(t, "ccc")
	addresses := d.until(t, `watch at +(\S+)\ntake part at (\S+)`)
	d.watchPage, d.takingPart = addresses[1], addresses[2]
	if found := d.until(t, `next: inject|nothing was injected`); found[0] != "next: inject" {
		_ = d.keys.Close()
		_ = d.cmd.Wait()
		return nil
	}
	return d
}

func (d *liveDay) press(t *testing.T, keys string) {
	t.Helper()
	if _, err := io.WriteString(d.keys, keys); err != nil {
		t.Fatal(err)
	}
}

// until waits until the program has printed a pattern, and returns what matches.
func (d *liveDay) until(t *testing.T, pattern string) []string {
	t.Helper()
	want := regexp.MustCompile(pattern)
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if found := want.FindStringSubmatch(d.out.String()); found != nil {
			return found
		}
	}
	t.Fatalf("the program does not print %s:\n%s", pattern, &d.out)
	return nil
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
	program := filepath.Join(t.TempDir(), "firedrill")
	build := exec.Command("go", "build", "-C", "../../..", "-o", program, "./cmd/firedrill")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build firedrill: %v\n%s", err, out)
	}
	var d *liveDay
	for attempt := 0; d == nil; attempt++ {
		if attempt == 3 {
			t.Fatal("no baseline was steady")
		}
		d = startDay(t, program)
	}
	ours := func(request string) bool { return strings.HasPrefix(request, d.watchPage) }
	watch, part := openAt(t, "watch", d.watchPage, ours), openAt(t, "part", d.takingPart, ours)
	part.until(`next.innerText.includes('inject: "comments" hangs') && !acts.hidden`)
	watch.until(`link.innerText == "live, read-only" && asked.hidden && acts.hidden`)
	d.press(t, "c")

	part.until(`/"comments" hangs\s+live for \d+:\d\d, \d+:\d\d left/.test(faults.innerText)`)
	part.until(`document.querySelector("#stop meter").value > 0 && /has held for \d+ of 300s/.test(document.getElementById("stop").innerText)`)
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
	if text := ask[string](watch, `document.documentElement.outerHTML`); strings.Contains(text, "comments") {
		t.Error("the page of a blind day says what is live")
	}
	part.examine()
	part.run(emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}), emulation.SetDeviceMetricsOverride(390, 844, 2, true))
	part.examine()
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
	raw, err := os.ReadFile(filepath.Join(d.runs, "latest", "journal.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"by":"ben","kind":"note"`, `"by":"ben","kind":"heal"`, `"by":"ben","kind":"abort"`, `stopped: aborted by ben`, `the pager stayed silent`} {
		if !strings.Contains(string(raw), want) {
			t.Errorf("the journal lacks %s", want)
		}
	}
}

// jsonText returns a value as an expression of JavaScript.
func jsonText(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err) // texts and numbers only
	}
	return string(text)
}
