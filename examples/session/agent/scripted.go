package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Scripted is a model without a mind: it knows a few sentences, speaks them word by word, and says the same to the same
// question each time. With it everything runs offline.
type Scripted struct {
	Pace time.Duration // between two words; 0: at once
}

var _ Model = Scripted{}

// Answer answers the last message: what it makes of it, it says or has done by a tool.
func (s Scripted) Answer(ctx context.Context, q Request) iter.Seq2[Part, error] {
	return func(yield func(Part, error) bool) {
		end := End{Stop: StopDone}
		for _, p := range script(q) {
			for _, piece := range pieces(p) {
				if err := s.pause(ctx); err != nil {
					yield(Part{}, err)
					return
				}
				if !yield(piece, nil) {
					return
				}
				end.Usage.Written++
			}
			if p.Call != nil {
				end.Stop = StopTools
			}
		}
		for _, m := range q.Messages {
			end.Usage.Read += int64(len(strings.Fields(m.Text())))
		}
		yield(Part{End: &end}, nil)
	}
}

func (s Scripted) pause(ctx context.Context) error {
	if s.Pace <= 0 {
		return ctx.Err()
	}
	word := time.NewTimer(s.Pace)
	defer word.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-word.C:
		return nil
	}
}

// pieces cuts text into words, each with the space before it.
func pieces(p Part) []Part {
	if p.Text == "" {
		return []Part{p}
	}
	var words []Part
	for i, word := range strings.SplitAfter(p.Text, " ") {
		if i > 0 {
			words[i-1].Text = strings.TrimSuffix(words[i-1].Text, " ")
			word = " " + word
		}
		words = append(words, Part{Text: word})
	}
	return words
}

// script returns the whole answer.
func script(q Request) []Part {
	last := q.Messages[len(q.Messages)-1]
	if !last.Asks() {
		return say("%s", outcome(last))
	}
	text := last.Text()
	for _, line := range lines {
		if found := line.pattern.FindStringSubmatch(text); found != nil {
			return line.answer(q, found[1:])
		}
	}
	return say("You said %q. I am a scripted model and know only a few sentences. Ask me to add 3 to apples, to count to 50, "+
		"what time it is, or what you said first.", text)
}

// line is one thing that the model understands.
type line struct {
	pattern *regexp.Regexp
	answer  func(q Request, found []string) []Part
}

var lines = []line{
	{regexp.MustCompile(`(?i)^hello|^hi\b`), func(Request, []string) []Part {
		return say("Hello! I remember what you say, whatever happens to the node that I run on. Ask me to add 3 to apples.")
	}},
	{regexp.MustCompile(`(?i)add (-?\d+) to (\S+?)[.!?]*$`), func(q Request, found []string) []Part {
		n, _ := strconv.Atoi(found[0])
		return use(q, "tally_add", map[string]any{"name": found[1], "n": n}, "Let me add that.")
	}},
	{regexp.MustCompile(`(?i)how many (\S+?)[.!?]*$`), func(q Request, found []string) []Part {
		return use(q, "tally_get", map[string]any{"name": found[0]}, "")
	}},
	{regexp.MustCompile(`(?i)what time`), func(q Request, _ []string) []Part {
		return use(q, "clock", map[string]any{}, "")
	}},
	{regexp.MustCompile(`(?i)count to (\d+)`), func(_ Request, found []string) []Part {
		n, _ := strconv.Atoi(found[0])
		var numbers []string
		for i := range n {
			numbers = append(numbers, strconv.Itoa(i+1))
		}
		return say("%s.", strings.Join(numbers, " "))
	}},
	{regexp.MustCompile(`(?i)what did i say first`), func(q Request, _ []string) []Part {
		return say("The first thing that I still know word for word is: %q.", q.Messages[0].Text())
	}},
	{regexp.MustCompile(`(?is)^summarise:(.*)`), func(_ Request, found []string) []Part {
		asked := strings.Count(found[0], "\nuser: ")
		return say("So far the user has said %d things, among them:%s", asked, excerpt(found[0]))
	}},
}

func say(format string, args ...any) []Part { return []Part{{Text: fmt.Sprintf(format, args...)}} }

// use calls a tool, or says that it cannot.
func use(q Request, tool string, input map[string]any, before string) []Part {
	b, err := json.Marshal(input)
	if err != nil || q.Last {
		return say("I may not use %s now.", tool)
	}
	call := Part{Call: &Call{ID: fmt.Sprintf("call_%d", len(q.Messages)), Tool: tool, Input: b}}
	if before == "" {
		return []Part{call}
	}
	return []Part{{Text: before}, call}
}

// outcome says what the tools returned.
func outcome(m Message) string {
	var said []string
	for _, p := range m.Parts {
		switch {
		case p.Result == nil:
		case p.Result.Failed:
			said = append(said, "That did not work: "+p.Result.Content+".")
		default:
			said = append(said, "The answer is "+p.Result.Content+".")
		}
	}
	return strings.Join(said, " ")
}

// excerpt returns the first lines of a transcript that are the user's.
func excerpt(transcript string) string {
	var b strings.Builder
	for said := range strings.Lines(transcript) {
		if text, ok := strings.CutPrefix(said, "user: "); ok && b.Len() < 200 {
			b.WriteString(" " + strings.TrimSpace(text) + ";")
		}
	}
	return b.String()
}
