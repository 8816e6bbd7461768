// Reads a JSON list of {Template, Values} and writes the list of what Go's text/template makes of each.
package main

import (
	"encoding/json"
	"log"
	"os"
	"strings"
	"text/template"
)

// Message has the fields that Ollama gives a template: anything else is an error, as it is there.
type Message struct{ Role, Content string }

type chat struct {
	System, Response string
	Messages         []*Message
	Tools            []string
}

func main() {
	var cases []struct {
		Template string
		Values   chat
	}
	if err := json.NewDecoder(os.Stdin).Decode(&cases); err != nil {
		log.Fatal(err)
	}
	texts := []string{}
	for _, one := range cases {
		var text strings.Builder
		made, err := template.New("").Option("missingkey=error").Parse(one.Template)
		if err == nil {
			err = made.Execute(&text, one.Values)
		}
		if err != nil {
			log.Fatalf("%v in %s", err, one.Template)
		}
		texts = append(texts, text.String())
	}
	if err := json.NewEncoder(os.Stdout).Encode(texts); err != nil {
		log.Fatal(err)
	}
}
