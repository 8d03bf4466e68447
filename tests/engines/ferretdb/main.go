// Command quanta-mongo is the MongoDB server of the tests, and a client to look into it.
//
//	quanta-mongo serve HOST:PORT DIR               FerretDB, its SQLite files in DIR; ends on SIGTERM
//	quanta-mongo probe URI ping
//	quanta-mongo probe URI put DB COLL ID VALUE    upserts {_id: ID, value: VALUE}
//	quanta-mongo probe URI get DB COLL ID          prints VALUE; exit 1 when there is none
//	quanta-mongo probe URI find DB COLL            prints the documents, one JSON object a line, in order of _id
//
// FerretDB's own command wants a version file that its module doesn't carry, so this embeds the server instead.
// Exit: 0, 1 for what the server or the data said, 2 for wrong usage.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/FerretDB/FerretDB/ferretdb"
	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"
)

const probeTimeout = 10 * time.Second

var errUsage = errors.New("usage: quanta-mongo serve HOST:PORT DIR | probe URI ping|put|get|find …")

func main() {
	err := run(os.Args[1:])
	switch {
	case errors.Is(err, errUsage):
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "quanta-mongo:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 3 && args[0] == "serve":
		return serve(args[1], args[2])
	case len(args) >= 3 && args[0] == "probe":
		ctx, cancel := context.WithTimeout(context.Background(), probeTimeout)
		defer cancel()
		return probe(ctx, args[1], args[2], args[3:])
	}
	return errUsage
}

// serve runs until SIGTERM or SIGINT. Every commit is synced: a write that was acknowledged survives SIGKILL and power loss.
func serve(address, dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	store := url.URL{Scheme: "file", OmitHost: true, Path: dir + "/", RawQuery: "_pragma=synchronous(full)"}
	server, err := ferretdb.New(&ferretdb.Config{
		Listener:  ferretdb.ListenerConfig{TCP: address},
		Logger:    slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
		Handler:   "sqlite",
		SQLiteURL: store.String(),
	})
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	return server.Run(ctx)
}

func probe(ctx context.Context, uri, verb string, args []string) error {
	client, err := mongo.Connect(ctx, options.Client().ApplyURI(uri).SetServerSelectionTimeout(probeTimeout))
	if err != nil {
		return err
	}
	defer client.Disconnect(context.Background())

	switch {
	case verb == "ping" && len(args) == 0:
		return client.Ping(ctx, nil)
	case verb == "put" && len(args) == 4:
		_, err := client.Database(args[0]).Collection(args[1]).UpdateOne(ctx,
			bson.D{{Key: "_id", Value: args[2]}},
			bson.D{{Key: "$set", Value: bson.D{{Key: "value", Value: args[3]}}}},
			options.Update().SetUpsert(true))
		return err
	case verb == "get" && len(args) == 3:
		var doc struct{ Value string }
		if err := client.Database(args[0]).Collection(args[1]).FindOne(ctx, bson.D{{Key: "_id", Value: args[2]}}).Decode(&doc); err != nil {
			return err
		}
		fmt.Println(doc.Value)
		return nil
	case verb == "find" && len(args) == 2:
		return find(ctx, client.Database(args[0]).Collection(args[1]))
	}
	return errUsage
}

// find reads in single batches, the next from where the last ended: a client that dies with a cursor open wedges FerretDB.
func find(ctx context.Context, coll *mongo.Collection) error {
	const page = 100
	after := bson.D{}
	for {
		cursor, err := coll.Find(ctx, after, options.Find().
			SetSort(bson.D{{Key: "_id", Value: 1}}).SetLimit(-page)) // a negative limit asks for one batch and no cursor
		if err != nil {
			return err
		}
		var docs []bson.D
		if err := cursor.All(ctx, &docs); err != nil {
			return err
		}
		for _, doc := range docs {
			line, err := bson.MarshalExtJSON(doc, false, false)
			if err != nil {
				return err
			}
			fmt.Println(string(line))
		}
		if len(docs) < page {
			return nil
		}
		last := docs[len(docs)-1].Map()["_id"]
		after = bson.D{{Key: "_id", Value: bson.D{{Key: "$gt", Value: last}}}}
	}
}
