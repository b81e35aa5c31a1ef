// Package browser tests reports with the programs that read them: the HTML report in a real Chromium, the messages with
// Cucumber's html-formatter, the metrics with the parser of Prometheus. It is a module of its own, so that programs that use
// Firedrill do not depend on these.
package browser

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

var shots = flag.String("shots", "", "write a picture of each page into this folder")

// axe is axe-core 4.11.0 by Deque Systems, under the Mozilla Public License 2.0. It is used by these tests only.
//
//go:embed testdata/axe.min.js
var axe string

var (
	pages string          // the folder with the pages
	root  context.Context // of the browser
)

func TestMain(m *testing.M) {
	flag.Parse()
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (int, error) {
	path, err := exec.LookPath("chromium")
	if err != nil {
		return 1, fmt.Errorf("the tests in a browser need chromium: run make install-tools: %w", err)
	}
	if pages, err = os.MkdirTemp("", "pages"); err != nil {
		return 1, err
	}
	defer os.RemoveAll(pages)
	write := exec.Command("go", "test", "-C", "../..", "-count=1", "-run", "^TestWritePages$", ".", "-pages", pages)
	if out, err := write.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("write the pages: %w\n%s", err, out)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.WindowSize(1200, 900))
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	defer stop()
	browser, quit := chromedp.NewContext(allocator)
	defer quit()
	if err := chromedp.Run(browser); err != nil {
		return 1, fmt.Errorf("start %s: %w", path, err)
	}
	root = browser
	return m.Run(), nil
}

// tab is a page that is open, with what the browser reported about it.
type tab struct {
	t   *testing.T
	ctx context.Context

	close func() // closes it, and fails the test if it made a request or the browser complained

	mu       sync.Mutex
	requests []string // apart from that of the page itself
	console  []string
}

// open opens a page. A page that makes a request, or about which the browser complains, fails the test.
func open(t *testing.T, name, fragment string, before ...chromedp.Action) *tab {
	t.Helper()
	url := "file://" + filepath.Join(pages, name+".html") + fragment
	return openAt(t, name, url, func(request string) bool { return strings.HasPrefix(url, request) }, before...)
}

// openAt opens a page. allowed reports whether it may make a request.
func openAt(t *testing.T, name, url string, allowed func(request string) bool, before ...chromedp.Action) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(root)
	ctx, done := context.WithTimeout(ctx, 4*time.Minute)
	o := &tab{t: t, ctx: ctx}
	chromedp.ListenTarget(ctx, func(event any) {
		o.mu.Lock()
		defer o.mu.Unlock()
		switch e := event.(type) {
		case *network.EventRequestWillBeSent:
			if !allowed(e.Request.URL) {
				o.requests = append(o.requests, e.Request.URL)
			}
		case *runtime.EventConsoleAPICalled:
			o.console = append(o.console, fmt.Sprint(e.Type))
		case *runtime.EventExceptionThrown:
			o.console = append(o.console, e.ExceptionDetails.Error())
		case *cdplog.EventEntryAdded:
			o.console = append(o.console, e.Entry.Text)
		case *page.EventJavascriptDialogOpening:
			o.console = append(o.console, "dialog: "+e.Message)
		}
	})
	o.close = sync.OnceFunc(func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		if len(o.requests) > 0 {
			t.Errorf("%s: requests: %q", name, o.requests)
		}
		if len(o.console) > 0 {
			t.Errorf("%s: the browser reports: %q", name, o.console)
		}
		done()
		cancel()
	})
	t.Cleanup(o.close)
	o.run(append([]chromedp.Action{network.Enable(), cdplog.Enable()}, before...)...)
	o.run(chromedp.Navigate(url))
	return o
}

func (o *tab) run(actions ...chromedp.Action) {
	o.t.Helper()
	if err := chromedp.Run(o.ctx, actions...); err != nil {
		o.t.Fatal(err)
	}
}

// ask evaluates an expression.
func ask[T any](o *tab, expression string) (value T) {
	o.t.Helper()
	o.run(chromedp.Evaluate(expression, &value, func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }))
	return value
}

func names(t *testing.T) (all []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(pages, "*.html"))
	if err != nil || len(files) < 10 {
		t.Fatalf("%d pages: %v", len(files), err)
	}
	for _, f := range files {
		all = append(all, strings.TrimSuffix(filepath.Base(f), ".html"))
	}
	return all
}

// noScript blocks scripts of the page; those of the test run nevertheless.
var noScript = emulation.SetScriptExecutionDisabled(true)

func shoot(o *tab, name string) {
	if *shots == "" {
		return
	}
	var picture []byte
	o.run(chromedp.CaptureScreenshot(&picture))
	if err := os.WriteFile(filepath.Join(*shots, name+".png"), picture, 0o600); err != nil {
		o.t.Error(err)
	}
}

// TestPagesLoadNothingAndRunNothing opens all pages, also those with hostile text in every field.
func TestPagesLoadNothingAndRunNothing(t *testing.T) {
	for _, name := range names(t) {
		o := open(t, name, "")
		if n := ask[int](o, `document.scripts.length`); n != 1 {
			t.Errorf("%s has %d scripts", name, n)
		}
		if n := ask[int](o, `document.querySelectorAll("img, iframe, object, embed, link, base, form").length`); n != 0 {
			t.Errorf("%s has %d elements that could load something", name, n)
		}
		if wide := ask[bool](o, `document.documentElement.scrollWidth > innerWidth`); wide {
			t.Errorf("%s is wider than its window", name)
		}
		shoot(o, name)
		o.close()
	}
}

// TestHostileScriptsWouldBeSeen: the test above notices a script that runs, and the policy stops one that is not the page's.
func TestHostileScriptsWouldBeSeen(t *testing.T) {
	content, err := os.ReadFile(filepath.Join(pages, "passed.html"))
	if err != nil {
		t.Fatal(err)
	}
	injected := strings.Replace(string(content), `<main id="main">`, `<main id="main"><script>alert(1)</script><img src=x onerror="alert(2)">`, 1)
	if err := os.WriteFile(filepath.Join(pages, "injected.html"), []byte(injected), 0o600); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(filepath.Join(pages, "injected.html"))
	o := open(t, "injected", "")
	o.mu.Lock()
	defer o.mu.Unlock()
	text := strings.Join(o.console, "\n")
	if !strings.Contains(text, "Content Security Policy") {
		t.Errorf("the browser reported no violation: %q", text)
	}
	if strings.Contains(text, "dialog") {
		t.Errorf("a script that is not the page's ran: %q", text)
	}
	o.console, o.requests = nil, nil // expected here
}

// TestAccessibility runs axe-core on pages in both themes, and on a phone.
func TestAccessibility(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"passed", "failed", "inconclusive", "truncated", "parted", "stopped", "topology", "compared", "unsteady"} {
		for _, scheme := range []string{"light", "dark", "phone"} {
			t.Run(name+" "+scheme, func(t *testing.T) { examine(t, name, scheme) })
		}
	}
	t.Run("mixed", func(t *testing.T) { examine(t, "mixed", "light") }) // many scenarios, which takes axe-core long
}

func examine(t *testing.T, name, scheme string) {
	var before []chromedp.Action
	if scheme == "phone" {
		before = append(before, emulation.SetDeviceMetricsOverride(390, 844, 2, true))
	} else {
		before = append(before, emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}))
	}
	o := open(t, name, "", before...)
	ask[bool](o, `document.querySelectorAll("details").forEach(d => d.open = true); true`)
	o.examine()
	shoot(o, name+"-"+scheme)
	o.close()
}

// examine runs axe-core.
func (o *tab) examine() {
	o.t.Helper()
	o.run(chromedp.Evaluate(axe, nil))
	found := ask[string](o, `axe.run().then(r => JSON.stringify(r.violations.filter(v => v.impact === "serious" || v.impact === "critical").map(v => v.id + ": " + v.nodes.slice(0, 3).map(n => n.html.slice(0, 200) + " " + n.failureSummary).join(" | "))))`)
	var violations []string
	if err := json.Unmarshal([]byte(found), &violations); err != nil {
		o.t.Fatal(err)
	}
	for _, v := range violations {
		o.t.Error(v)
	}
	if wide := ask[bool](o, `document.documentElement.scrollWidth > innerWidth + 1`); wide {
		o.t.Error("wider than its window")
	}
}

// TestLinksLeadToWhatIsVisible follows every link of pages, with the script and without it.
func TestLinksLeadToWhatIsVisible(t *testing.T) {
	for _, name := range []string{"failed", "many", "inconclusive", "compared"} {
		for _, script := range []bool{true, false} {
			var before []chromedp.Action
			if !script {
				before = append(before, noScript)
			}
			o := open(t, name, "", before...)
			links := ask[[]string](o, `[...new Set([...document.querySelectorAll("main a[href]")].map(a => a.getAttribute("href")))]`)
			if len(links) < 2 {
				t.Fatalf("%s has %d links", name, len(links))
			}
			for _, link := range links[:min(len(links), 25)] {
				id, _ := json.Marshal(link[1:])
				place := ask[string](o, fmt.Sprintf(`(() => {
					scrollTo(0, 0);
					location.hash = "";
					location.hash = %s;
					const box = document.getElementById(%s).getBoundingClientRect(), header = document.querySelector("header").getBoundingClientRect();
					if (!document.getElementById(%s).checkVisibility()) return "it is hidden";
					if (box.top < header.bottom - 1) return "it is under the header: " + box.top;
					return box.top > innerHeight - 20 ? "it is below the window: " + box.top : "";
				})()`, id, id, id))
				if place != "" {
					t.Errorf("%s%s, script: %v: %s", name, link, script, place)
				}
			}
			o.close()
		}
	}
}

// TestReadableWithoutScript: the filter works, what did not pass is open, and nothing is lost.
func TestReadableWithoutScript(t *testing.T) {
	o := open(t, "many", "", noScript)
	visible := func(selector string) int {
		return ask[int](o, fmt.Sprintf(`[...document.querySelectorAll(%q)].filter(e => e.checkVisibility()).length`, selector))
	}
	if n := visible("tr.s-passed"); n != 57 {
		t.Errorf("%d passed scenarios are listed", n)
	}
	if n := visible("section.scenario .charts"); n != 3 {
		t.Errorf("%d scenarios are open; those that failed are three", n)
	}
	o.run(chromedp.Click("#show-open", chromedp.ByID))
	if n := visible("tr.s-passed, section.s-passed"); n != 0 {
		t.Errorf("%d that passed are still shown", n)
	}
	if n := visible("tr.s-open"); n != 3 {
		t.Errorf("%d that did not pass are shown", n)
	}
	o.run(chromedp.Click("#show-passed", chromedp.ByID))
	if n, m := visible("tr.s-open"), visible("tr.s-passed"); n != 0 || m != 57 {
		t.Errorf("%d did not pass, %d passed", n, m)
	}
	shoot(o, "many-without-script")
}

// TestScriptOnlyAdds: cursor, filter, keys and theme.
func TestScriptOnlyAdds(t *testing.T) {
	o := open(t, "many", "")
	o.run(chromedp.KeyEvent("n"))
	if id := ask[string](o, `document.activeElement.id`); id != "why-1" {
		t.Errorf("n leads to %q", id)
	}
	if top := ask[float64](o, `document.activeElement.getBoundingClientRect().top`); top < 0 || top > 200 {
		t.Errorf("the card is at %v", top)
	}
	o.run(chromedp.KeyEvent("j"))
	if class := ask[string](o, `document.activeElement.className`); !strings.HasPrefix(class, "scenario") {
		t.Errorf("j leads to %q", class)
	}
	background := ask[string](o, `getComputedStyle(document.body).backgroundColor`)
	o.run(chromedp.KeyEvent("t"))
	if now := ask[string](o, `getComputedStyle(document.body).backgroundColor`); now == background {
		t.Errorf("t does not change the theme: %s", now)
	}
	o.run(chromedp.KeyEvent("/"))
	if kind := ask[string](o, `document.activeElement.type`); kind != "search" {
		t.Errorf("/ leads to %q", kind)
	}
	ask[bool](o, `document.activeElement.value = "Row 17"; document.activeElement.dispatchEvent(new Event("input"))`)
	if n := ask[int](o, `[...document.querySelectorAll("tr.s-passed")].filter(e => e.checkVisibility()).length`); n != 1 {
		t.Errorf("the filter shows %d", n)
	}

	o = open(t, "failed", "")
	o.run(chromedp.Evaluate(`document.querySelector(".charts").focus()`, nil), chromedp.KeyEvent(kb.End))
	drawn := ask[int](o, `[...document.querySelectorAll(".charts path[pointer-events]")].filter(p => p.getAttribute("d")).length`)
	charts := ask[int](o, `document.querySelectorAll(".charts svg[viewBox]").length`)
	if drawn != charts || charts < 3 {
		t.Errorf("the cursor is on %d of %d charts", drawn, charts)
	}
	want := ask[string](o, `"+" + (+document.querySelector(".charts").dataset.to).toFixed(1) + "s"`)
	if got := ask[string](o, `document.querySelector("output").textContent`); got != want {
		t.Errorf("the cursor is at %s, not %s", got, want)
	}
}

// TestReadableWithoutStyles: everything is there as text and tables.
func TestReadableWithoutStyles(t *testing.T) {
	o := open(t, "failed", "")
	ask[bool](o, `document.querySelectorAll("style").forEach(s => s.remove()); true`)
	text := ask[string](o, `document.body.innerText`)
	for _, want := range []string{"FAILED", "Suspected: a repetition was not recognized", "3 keys have two effects each", "Worst moment"} {
		if !strings.Contains(text, want) {
			t.Errorf("without styles %q is missing", want)
		}
	}
	shoot(o, "failed-without-styles")
}

// TestPrint: a page prints in light colours, whatever the theme is, and with all that explains a failure.
func TestPrint(t *testing.T) {
	o := open(t, "failed", "", emulation.SetEmulatedMedia().WithMedia("print").WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}))
	if got := ask[string](o, `getComputedStyle(document.body).backgroundColor`); got != "rgb(255, 255, 255)" {
		t.Errorf("it is printed on %s", got)
	}
	hidden := `[...document.querySelectorAll(".why details > :not(summary), .s-open > details > :not(summary)")].filter(e => !e.checkVisibility()).length`
	ask[bool](o, `document.querySelectorAll("details").forEach(d => d.open = false); true`)
	if n := ask[int](o, hidden); n != 0 {
		t.Errorf("%d parts of what failed are not printed", n)
	}
	o.run(emulation.SetEmulatedMedia().WithMedia("screen"))
	if n := ask[int](o, hidden); n == 0 {
		t.Error("on a screen they can be closed: the test sees nothing")
	}
	o.run(emulation.SetEmulatedMedia().WithMedia("print"))
	shoot(o, "failed-print")
	var pdf []byte
	o.run(chromedp.ActionFunc(func(ctx context.Context) (err error) {
		pdf, _, err = page.PrintToPDF().Do(ctx)
		return err
	}))
	if !strings.HasPrefix(string(pdf), "%PDF") {
		t.Error(errors.New("no PDF"))
	}
}
