package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/firedrill-dev/firedrill/injector/process"
)

const direct = "direct"

// bench is one run: the upstream servers, the targets, and the results.
type bench struct {
	o         options
	ctx       context.Context
	cancel    context.CancelFunc
	dir       string
	servers   []server
	timing    *timingServer
	datagrams *child // the datagram server
	targets   []*target
	children  []*child
	services  []*process.Service
	skipped   []string
	figures   []figure
}

// server is an upstream of the targets.
type server struct{ name, addr string }

func newBench(s suite, o options, dir string) (b *bench, err error) {
	b = &bench{o: o, dir: dir}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	return b, s.start(b)
}

// startServer starts one of this program's servers in a process of its own.
func (b *bench) startServer(name string) (*child, error) {
	c, err := startChild(name)
	if err == nil {
		b.children, b.servers = append(b.children, c), append(b.servers, server{name, c.addr})
	}
	return c, err
}

func (b *bench) close() {
	b.cancel()
	for _, c := range b.children {
		c.end()
	}
	for _, s := range b.services {
		_ = s.Stop(context.Background())
	}
	if b.timing != nil {
		_ = b.timing.ln.Close()
	}
}

// figure is one measured value of one round.
type figure struct {
	caseName, target, metric string
	value                    float64
}

func (b *bench) add(caseName string, t *target, metric string, value float64) {
	b.figures = append(b.figures, figure{caseName, t.name, metric, value})
}

// row is one row of the results.
type row struct {
	Case        string   `json:"case"`
	Target      string   `json:"target"`
	Metric      string   `json:"metric"`
	Median      float64  `json:"median"`
	VsDirect    *float64 `json:"vs_direct"`
	VsToxiproxy *float64 `json:"vs_toxiproxy"`

	rounds []float64
}

// rows returns the medians of the rounds, in the order in which they were first measured.
func (b *bench) rows() []row {
	type key struct{ caseName, target, metric string }
	values := map[key][]float64{}
	var order []key
	for _, f := range b.figures {
		k := key{f.caseName, f.target, f.metric}
		if values[k] == nil {
			order = append(order, k)
		}
		values[k] = append(values[k], f.value)
	}
	against := func(k key, to string) *float64 {
		other := values[key{k.caseName, to, k.metric}]
		if to == k.target || len(other) == 0 || median(other) == 0 {
			return nil
		}
		r := median(values[k]) / median(other)
		return &r
	}
	rows := make([]row, 0, len(order))
	for _, k := range order {
		rows = append(rows, row{k.caseName, k.target, k.metric, median(values[k]), against(k, direct), against(k, "toxiproxy"), values[k]})
	}
	return rows
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	if n%2 == 1 {
		return sorted[n/2]
	}
	return (sorted[n/2-1] + sorted[n/2]) / 2
}

// table formats the rows, with a block for each case and metric.
func table(rows []row) string {
	var out strings.Builder
	last := ""
	for _, r := range sorted(rows) {
		if head := r.Case + ": " + r.Metric; head != last {
			fmt.Fprintf(&out, "\n%s\n  %-18s %14s %10s %13s\n", head, "target", "median", "vs direct", "vs toxiproxy")
			last = head
		}
		fmt.Fprintf(&out, "  %-18s %14s %10s %13s\n", r.Target, number(r.Median), ratio(r.VsDirect), ratio(r.VsToxiproxy))
	}
	return out.String()
}

// sorted groups rows by case and metric, both in the order in which they were first measured.
func sorted(rows []row) []row {
	position := map[string]int{}
	for _, r := range rows {
		if head := r.Case + r.Metric; position[head] == 0 {
			position[head] = len(position) + 1
		}
	}
	out := slices.Clone(rows)
	slices.SortStableFunc(out, func(a, b row) int { return position[a.Case+a.Metric] - position[b.Case+b.Metric] })
	return out
}

func number(v float64) string { return strconv.FormatFloat(v, 'f', 2, 64) }

func ratio(r *float64) string {
	if r == nil {
		return "-"
	}
	return number(*r)
}

// usage is the resource usage of a target's processes.
type usage struct {
	cpu      float64 // seconds
	resident float64 // bytes
	files    float64 // open descriptors
}

func (t *target) usage() (u usage) {
	for _, pid := range t.pids {
		proc := "/proc/" + strconv.Itoa(pid)
		stat, _ := os.ReadFile(proc + "/stat")
		if _, rest, ok := strings.Cut(string(stat), ") "); ok {
			fields := strings.Fields(rest)
			for _, i := range []int{11, 12, 13, 14} { // user and kernel time, own and of reaped children, in hundredths of a second
				n, _ := strconv.ParseFloat(fields[i], 64)
				u.cpu += n / 100
			}
		}
		status, _ := os.ReadFile(proc + "/status")
		if _, rest, ok := strings.Cut(string(status), "VmRSS:"); ok {
			n, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			u.resident += n * 1024
		}
		files, _ := os.ReadDir(proc + "/fd")
		u.files += float64(len(files))
	}
	return u
}

// goStats returns the goroutines and the heap and stack bytes in use of a Go target. ok is false for other targets.
func (t *target) goStats() (goroutines, bytes float64, ok bool) {
	for _, c := range t.children {
		text, err := c.ask("stats")
		if err != nil {
			return 0, 0, false
		}
		var g, n float64
		if _, err := fmt.Sscan(text, &g, &n); err != nil {
			return 0, 0, false
		}
		goroutines, bytes = goroutines+g, bytes+n
	}
	return goroutines, bytes, len(t.children) > 0
}
