package browser

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// article is a scenario on a page of Cucumber's html-formatter.
type article struct {
	Name     string
	Statuses []string // of its steps and of its hook, if that is shown
	Text     string
}

// formatted opens the page that Cucumber's html-formatter makes of the messages of a run. Its scripts are the formatter's.
func formatted(t *testing.T, name string) (all []article, summary string) {
	t.Helper()
	page := filepath.Join(pages, "cucumber", name+".html")
	if err := os.MkdirAll(filepath.Dir(page), 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "node", "render.mjs", filepath.Join(pages, name+".messages.ndjson"), page).CombinedOutput(); err != nil {
		t.Fatalf("render the messages (make install-tools installs what it needs): %v\n%s", err, out)
	}
	o := open(t, "cucumber/"+name, "")
	o.run(chromedp.WaitReady("article", chromedp.ByQuery), chromedp.Evaluate(`document.querySelectorAll("button[aria-expanded=false]").forEach(closed => closed.click())`, nil), chromedp.WaitReady("article > ol", chromedp.ByQuery))
	all = ask[[]article](o, `[...document.querySelectorAll("article:has(> ol)")].map(a => ({
		Name: a.parentElement.parentElement.querySelector("h2").textContent,
		Statuses: [...a.querySelectorAll("li[data-status]")].map(step => step.dataset.status),
		Text: a.innerText,
	}))`)
	summary = ask[string](o, `document.querySelector("[data-testid='cucumber.summary.status']").innerText`)
	shoot(o, "cucumber-"+name)
	o.close()
	return all, summary
}

// TestCucumberShowsEachScenario: Cucumber's html-formatter shows each scenario with the status that stands for its outcome,
// and with the reason.
func TestCucumberShowsEachScenario(t *testing.T) {
	for name, want := range map[string]struct {
		worst, text, summary string
	}{
		"passed":       {"PASSED", "98.5% (788 of 800)", "100% (1 / 1) passed"},
		"failed":       {"FAILED", "3 keys have two effects each", "0% (0 / 1) passed"},
		"inconclusive": {"PENDING", "no call matched POST /charge", "0% (0 / 1) passed"},
		"stopped":      {"FAILED", "a stop rule was met: success below 50% for 2s", "0% (0 / 1) passed"},
	} {
		all, summary := formatted(t, name)
		if len(all) != 1 {
			t.Fatalf("%s: %d scenarios", name, len(all))
		}
		if worst := worstOf(all[0]); worst != want.worst || !strings.Contains(all[0].Text, want.text) || summary != want.summary {
			t.Errorf("%s: %s, %q, %s", name, worst, summary, all[0].Text)
		}
	}

	all, _ := formatted(t, "truncated")
	if len(all) != 2 || worstOf(all[0]) != "PASSED" || worstOf(all[1]) != "PENDING" || slices.Contains(all[1].Statuses, "PASSED") {
		t.Errorf("truncated: %+v", all)
	}

	all, summary := formatted(t, "many")
	failed := slices.DeleteFunc(slices.Clone(all), func(a article) bool { return worstOf(a) != "FAILED" })
	if len(all) != 60 || len(failed) != 3 || failed[0].Name != "Scenario: An order is charged once: row 7" || summary != "95% (57 / 60) passed" {
		t.Errorf("many: %d scenarios, %d failed, %q", len(all), len(failed), summary)
	}
}

// TestCucumberShowsHostileText: text from systems under test is text there, too. The page fails the test if a script in it ran.
func TestCucumberShowsHostileText(t *testing.T) {
	all, _ := formatted(t, "hostile-failed")
	if len(all) != 1 || !strings.Contains(all[0].Text, "<script>alert(1)</script>") || !strings.Contains(all[0].Text, `\x1b]0;owned`) || strings.ContainsAny(all[0].Text, "\x1b\u202e") {
		t.Errorf("%q", all)
	}
}

// worstOf returns the worst status of a scenario, as Cucumber orders them.
func worstOf(a article) string {
	for _, status := range []string{"FAILED", "AMBIGUOUS", "UNDEFINED", "PENDING", "SKIPPED", "PASSED"} {
		if slices.Contains(a.Statuses, status) {
			return status
		}
	}
	return "UNKNOWN"
}
