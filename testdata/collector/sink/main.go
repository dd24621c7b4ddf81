// Command sink is an OTLP profiles server made of the OpenTelemetry
// Collector's own decoder, of a later version than the Collector beside it.
// It prints its address, and then for each request a line of JSON: how many
// samples each function is in. It is a module of its own because a program can
// have only one version of that decoder.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"os"

	"go.opentelemetry.io/collector/pdata/pprofile"
	"go.opentelemetry.io/collector/pdata/pprofile/pprofileotlp"
	"google.golang.org/grpc"
	_ "google.golang.org/grpc/encoding/gzip" // as every OTLP server does
)

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(listener.Addr())
	server := grpc.NewServer()
	pprofileotlp.RegisterGRPCServer(server, &sink{})
	log.Fatal(server.Serve(listener))
}

type sink struct {
	pprofileotlp.UnimplementedGRPCServer
}

func (*sink) Export(_ context.Context, request pprofileotlp.ExportRequest) (pprofileotlp.ExportResponse, error) {
	totals, err := functions(request.Profiles())
	if err != nil {
		return pprofileotlp.NewExportResponse(), err
	}
	return pprofileotlp.NewExportResponse(), json.NewEncoder(os.Stdout).Encode(totals)
}

// functions adds up the values of type samples/count in which each function
// is; under "" is the sum of all.
func functions(profiles pprofile.Profiles) (map[string]int64, error) {
	totals := map[string]int64{}
	dictionary := profiles.Dictionary()
	text := dictionary.StringTable()
	for _, resource := range profiles.ResourceProfiles().All() {
		for _, scope := range resource.ScopeProfiles().All() {
			for _, p := range scope.Profiles().All() {
				if text.At(int(p.SampleType().TypeStrindex())) != "samples" {
					continue
				}
				for _, s := range p.Samples().All() {
					if s.Values().Len() != 1 {
						return nil, fmt.Errorf("sample has %d values", s.Values().Len())
					}
					names := map[string]bool{"": true}
					for _, l := range dictionary.StackTable().At(int(s.StackIndex())).LocationIndices().All() {
						for _, line := range dictionary.LocationTable().At(int(l)).Lines().All() {
							f := dictionary.FunctionTable().At(int(line.FunctionIndex()))
							names[text.At(int(f.NameStrindex()))] = true
						}
					}
					for name := range names {
						totals[name] += s.Values().At(0)
					}
				}
			}
		}
	}
	return totals, nil
}
