package scenarios

import (
	"regexp"
	"strings"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

var (
	sqlReads  = regexp.MustCompile(`(?i)^\s*(select|show|values|table|explain)\b`)
	sqlWrites = regexp.MustCompile(`(?i)\b(insert|update|delete|merge|into|nextval|call|truncate|analyze)\b`)
)

// readsSQL reports whether a statement only reads, as far as its words show it. A SELECT that calls a function which writes
// does not show it.
func readsSQL(r Route) bool { return sqlReads.MatchString(r.Body) && !sqlWrites.MatchString(r.Body) }

// sqlListens matches statements that have no single answer.
var sqlListens = regexp.MustCompile(`(?i)^\s*(listen|copy)\b`)

func checkSQL(text string) error {
	if found := sqlListens.FindStringSubmatch(text); found != nil {
		return source.Mistakef(codes.Unsupported, "write a statement that has one answer", "%s has no single answer", strings.ToUpper(found[1]))
	}
	return nil
}

func checkSubject(subject string) error {
	literal := placeholder.ReplaceAllString(subject, "x")
	if strings.ContainsAny(literal, "*> \t") || strings.HasPrefix(literal, ".") || strings.HasSuffix(literal, ".") || strings.Contains(literal, "..") {
		return source.Mistakef(codes.BadValue, "write a subject without wildcards: orders.created", "%q cannot be the subject of a message", subject)
	}
	return nil
}

var grpcMethod = regexp.MustCompile(`^[A-Za-z_][\w.]*/[A-Za-z_]\w*$`)

func checkMethod(name string) error {
	if !grpcMethod.MatchString(name) {
		return source.Mistakef(codes.BadValue, "write the package, the service and the method: shop.Orders/Create", "%q is not a method of gRPC", name)
	}
	return nil
}

// readsMethod reports whether a method is read-only by its name, as standard methods are (https://google.aip.dev/131,
// 132 and 231).
func readsMethod(r Route) bool {
	_, method, _ := strings.Cut(r.Path, "/")
	return strings.HasPrefix(method, "Get") || strings.HasPrefix(method, "List") || strings.HasPrefix(method, "BatchGet")
}

func checkLine(text string) error {
	if strings.Contains(strings.TrimSpace(text), "\n") {
		return source.Mistakef(codes.BadValue, "write one line; for several, take a mix", "the text has several lines")
	}
	return nil
}
