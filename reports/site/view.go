package site

import (
	"cmp"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
)

// when returns a time for people, in the time zone of this machine.
func when(t time.Time) string { return t.Local().Format("Mon 2 Jan 2006, 15:04:05") }

// countsText returns "3 passed, 1 failed", the worst first.
func countsText(counts map[string]int) string {
	var parts []string
	for _, o := range []string{"stopped", "failed", "interrupted", "inconclusive", "skipped", "not run", "passed"} {
		if counts[o] > 0 {
			parts = append(parts, fmt.Sprint(counts[o], " ", o))
		}
	}
	return cmp.Or(strings.Join(parts, ", "), "no scenario")
}

// hasReport reports whether a run, given by its folder, has a report as a page.
func (s *site) hasReport(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "report.html"))
	return err == nil
}

// spark draws values as a line between the least and the greatest of them. What was not measured is left out.
func spark(values []*float64) template.HTML {
	const wide, high = 120.0, 22.0
	var known []float64
	for _, v := range values {
		if v != nil {
			known = append(known, *v)
		}
	}
	if len(known) < 2 {
		return ""
	}
	low, top := slices.Min(known), slices.Max(known)
	var points strings.Builder
	for i, v := range values {
		if v == nil {
			continue
		}
		y := high / 2
		if top > low {
			y = high - 2 - (*v-low)/(top-low)*(high-4)
		}
		fmt.Fprintf(&points, "%.1f,%.1f ", 2+float64(i)/float64(len(values)-1)*(wide-4), y)
	}
	return template.HTML(fmt.Sprintf(`<svg width="%g" height="%g" viewBox="0 0 %g %g" aria-hidden="true"><polyline points="%s" fill="none" stroke="currentColor" stroke-width="1.5"/></svg>`, //nolint:gosec // numbers only
		wide, high, wide, high, strings.TrimSpace(points.String())))
}

// file is a file of a run in a listing.
type file struct{ Name, Size string }

// folder writes a listing of the files of a run.
func (s *site) folder(w http.ResponseWriter, r *http.Request, root *os.Root, dir string) {
	if !strings.HasSuffix(r.URL.Path, "/") {
		http.Redirect(w, r, r.URL.Path+"/", http.StatusMovedPermanently)
		return
	}
	var files []file
	err := fs.WalkDir(root.FS(), dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		files = append(files, file{strings.TrimPrefix(name, dir+"/"), humanize.IBytes(uint64(max(0, info.Size())))}) //nolint:gosec // not negative
		return nil
	})
	if err != nil {
		s.fail(w, http.StatusInternalServerError, err.Error())
		return
	}
	s.write(w, http.StatusOK, "folder", map[string]any{"Title": path.Base(dir), "Files": files})
}
