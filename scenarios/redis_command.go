package scenarios

import (
	"strings"

	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// redisCommand returns the name of a command in upper case.
func redisCommand(text string) string {
	name, _, _ := strings.Cut(strings.TrimSpace(text), " ")
	return strings.ToUpper(name)
}

// redisStateful reports whether the effect of a command is on the connection, which further requests share.
var redisStateful = message.Words(`ASKING AUTH CLIENT DISCARD EXEC HELLO MONITOR MULTI PSUBSCRIBE PSYNC PUNSUBSCRIBE QUIT READONLY READWRITE RESET SELECT
	SSUBSCRIBE SUBSCRIBE SUNSUBSCRIBE SYNC UNSUBSCRIBE UNWATCH WATCH`)

func checkRedis(text string) error {
	words, err := SplitWords(text)
	switch {
	case err != nil:
		return err
	case len(words) == 0 || words[0] == "":
		return source.Mistakef(codes.BadValue, "write INCR orders", "the command is empty")
	case redisStateful(redisCommand(words[0])):
		return source.Mistakef(codes.Unsupported, "write a command that stands by itself; for several at once take EVAL", "%s changes the state of a connection, which other requests share", redisCommand(words[0]))
	}
	return nil
}

// Word returns a text as SplitWords reads it as a part of one word, within quotes and without.
func Word(text string) string { return wordBreaks.Replace(text) }

var wordBreaks = strings.NewReplacer(`\`, `\\`, `"`, `\"`, `'`, `\'`, " ", `\ `, "\n", `\n`, "\t", `\t`, "\r", `\r`)

// SplitWords splits a text into words as a shell does: at white space outside of quotes. A backslash stands before a
// character that is meant literally; \n, \r, \t and \0 are control characters.
func SplitWords(text string) ([]string, error) {
	var all []string
	var word strings.Builder
	quote, began := byte(0), false
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '\\' && i+1 < len(text):
			i++
			began = true
			if at := strings.IndexByte("nrt0", text[i]); at >= 0 {
				word.WriteByte("\n\r\t\x00"[at])
			} else {
				word.WriteByte(text[i])
			}
		case c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote, began = c, true
		case quote == 0 && strings.IndexByte(" \t\r\n", c) >= 0:
			if began {
				all = append(all, word.String())
				word.Reset()
			}
			began = false
		default:
			word.WriteByte(c)
			began = true
		}
	}
	if quote != 0 {
		return nil, source.Mistakef(codes.BadValue, "close it, or write a backslash before the quote", "a quotation in %q is not closed", shorten(text))
	}
	if began {
		all = append(all, word.String())
	}
	return all, nil
}
