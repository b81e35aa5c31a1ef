package main

import (
	"fmt"
	"go/parser"
	"go/token"
	"net"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/firedrill-dev/firedrill/injector/process"
)

// candidate is a service that init found or was told of. It has an address if it runs already, and else a command.
type candidate struct {
	name    string
	from    string // where it was found
	command []string
	env     map[string]string
	address string            // host:port
	depends map[string]string // protocols by dependency
}

// candidates looks for services in the files of a folder and, if there are none, among the programs that listen on this
// machine.
func candidates(dir string) (all []candidate, err error) {
	for _, name := range []string{"compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml"} {
		if raw, err := os.ReadFile(filepath.Join(dir, name)); err == nil {
			return fromCompose(name, raw)
		}
	}
	if raw, err := os.ReadFile(filepath.Join(dir, "Procfile")); err == nil {
		return fromProcfile(string(raw)), nil
	}
	if raw, err := os.ReadFile(filepath.Join(dir, "go.mod")); err == nil && len(raw) > 0 {
		if all = fromGo(dir); len(all) > 0 {
			return all, nil
		}
	}
	return fromPorts(process.Listening()), nil
}

// protocolOf guesses the protocol of a container from its image.
func protocolOf(image string) string {
	for _, known := range []struct{ part, protocol string }{{"redis", "redis"}, {"valkey", "redis"}, {"postgres", "postgres"}, {"nats", "nats"}} {
		if strings.Contains(path.Base(image), known.part) {
			return known.protocol
		}
	}
	for _, bytes := range []string{"mysql", "mariadb", "mongo", "kafka", "rabbitmq", "etcd"} {
		if strings.Contains(path.Base(image), bytes) {
			return "tcp"
		}
	}
	return "http"
}

// fromCompose returns the services of a compose file whose ports are published to this machine.
func fromCompose(file string, raw []byte) (all []candidate, err error) {
	var doc struct {
		Services map[string]struct {
			Image     string `yaml:"image"`
			Ports     []any  `yaml:"ports"`
			DependsOn any    `yaml:"depends_on"`
		} `yaml:"services"`
	}
	if err := yaml.Unmarshal(raw, &doc); err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	for name, s := range doc.Services {
		c := candidate{name: name, from: file, depends: map[string]string{}}
		for _, port := range s.Ports {
			if published := publishedPort(port); published != "" && c.address == "" {
				c.address = net.JoinHostPort("127.0.0.1", published)
			}
		}
		if c.address == "" {
			continue
		}
		var on []string
		switch d := s.DependsOn.(type) {
		case []any:
			for _, one := range d {
				on = append(on, fmt.Sprint(one))
			}
		case map[string]any:
			for one := range d {
				on = append(on, one)
			}
		}
		for _, one := range on {
			c.depends[one] = protocolOf(doc.Services[one].Image)
		}
		all = append(all, c)
	}
	for _, c := range all { // a link needs an address at its other end
		for to := range c.depends {
			if !slices.ContainsFunc(all, func(o candidate) bool { return o.name == to }) {
				delete(c.depends, to)
			}
		}
	}
	slices.SortFunc(all, func(a, b candidate) int { return strings.Compare(a.name, b.name) })
	return all, nil
}

// publishedPort returns the port of this machine in an entry of ports: "8080:80", "127.0.0.1:8080:80/tcp", or a mapping.
func publishedPort(entry any) string {
	var port string
	switch e := entry.(type) {
	case string:
		parts := strings.Split(strings.TrimSuffix(e, "/tcp"), ":")
		if len(parts) < 2 {
			return "" // the port of this machine is chosen at each start
		}
		port = parts[len(parts)-2]
	case map[string]any:
		port = fmt.Sprint(e["published"])
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return ""
	}
	return port
}

var procfileLine = regexp.MustCompile(`^([A-Za-z0-9_-]+):\s*(.+)$`)

// fromProcfile returns the processes of a Procfile. They get their port in PORT, as usual there.
func fromProcfile(text string) (all []candidate) {
	for line := range strings.Lines(text) {
		m := procfileLine.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			continue
		}
		c := candidate{name: m[1], from: "Procfile", command: strings.Fields(m[2]), env: map[string]string{"PORT": "${port}"}}
		if strings.ContainsAny(m[2], "\"'`|;<>&\\$*~(){}=") {
			c.command = []string{"sh", "-c", "exec " + m[2]}
		}
		all = append(all, c)
	}
	return all
}

// fromGo returns the main packages of a module: that of its folder, and those in cmd.
func fromGo(dir string) (all []candidate) {
	dirs, _ := filepath.Glob(filepath.Join(dir, "cmd", "*"))
	for _, d := range append([]string{dir}, dirs...) {
		packages, err := parser.ParseDir(token.NewFileSet(), d, nil, parser.PackageClauseOnly) //nolint:staticcheck // only the name is asked
		if err != nil || packages["main"] == nil {
			continue
		}
		rel, _ := filepath.Rel(dir, d)
		abs, _ := filepath.Abs(d)
		all = append(all, candidate{name: filepath.Base(abs), from: "go.mod", command: []string{"go", "run", "./" + filepath.ToSlash(rel)},
			env: map[string]string{"PORT": "${port}", "ADDR": "127.0.0.1:${port}"}})
	}
	return all
}

var notInName = regexp.MustCompile(`[^A-Za-z0-9_-]+`)

// fromPorts returns the programs that listen on this machine.
func fromPorts(listeners []process.Listener) (all []candidate) {
	for _, l := range listeners {
		words := strings.Fields(l.Program)
		script := words[len(words)-1] // of "python3 app.py"
		name := notInName.ReplaceAllString(strings.TrimSuffix(script, filepath.Ext(script)), "-")
		if slices.ContainsFunc(all, func(c candidate) bool { return c.name == name }) {
			name = fmt.Sprintf("%s-%d", name, l.Port)
		}
		all = append(all, candidate{name: name, from: "a port of this machine", address: net.JoinHostPort("127.0.0.1", strconv.Itoa(int(l.Port)))})
	}
	return all
}
