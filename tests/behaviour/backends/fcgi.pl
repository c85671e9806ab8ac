#!/usr/bin/perl
# SPDX-License-Identifier: MIT OR Apache-2.0
# A FastCGI application on Perl's FCGI: `fcgi.pl PORT PROCESSES`; without words it takes requests on the socket that is its
# descriptor 0.

use strict;
use warnings;
use FCGI;

my ($port, $processes) = (@ARGV, 0, 1);
my $listener = $port ? FCGI::OpenSocket("127.0.0.1:$port", 128) : 0;

for (2 .. $processes) {
    last if fork() == 0;
}
$SIG{TERM} = sub { exit 0 };

sub quoted {
    my ($text) = @_;
    $text =~ s/([^\x20\x21\x23-\x5b\x5d-\x7e])/sprintf('\\u%04x', ord($1))/ge;
    return "\"$text\"";
}

my %env;
my $request = FCGI::Request(\*STDIN, \*STDOUT, \*STDERR, \%env, $listener, 0);
while ($request->Accept() >= 0) {
    my $uri = $env{REQUEST_URI};
    if ($uri =~ m{/hello}) {
        my $backend = $ENV{BACKEND} // '';
        print "Content-Type: text/plain\r\nX-Backend: $backend\r\n\r\nhello";
    } elsif ($uri =~ m{/env}) {
        print "Content-Type: application/json\r\n\r\n{";
        print join(',', map { quoted($_) . ':' . quoted($env{$_}) } sort keys %env);
        print '}';
    } elsif ($uri =~ m{/echo}) {
        my $length = $env{CONTENT_LENGTH} || 0;
        print "Content-Type: text/plain\r\nX-Length: $length\r\n\r\n";
        while (read(STDIN, my $block, 65536)) {
            print $block;
        }
    } elsif ($uri =~ m{/large\?size=(\d+)}) {
        my $left = $1;
        my $block = join('', map { chr } 0 .. 255) x 256;
        print "Content-Type: text/plain\r\n\r\n";
        for (; $left > 0; $left -= length $block) {
            print substr($block, 0, $left);
        }
    } elsif ($uri =~ m{/missing}) {
        print "Status: 404 Not There\r\nContent-Type: text/plain\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\nnothing here";
    } elsif ($uri =~ m{/redirect}) {
        print "Status: 303 See Other\r\nLocation: http://other.example/\r\n\r\n";
    } elsif ($uri =~ m{/complain}) {
        print STDERR "a complaint of the application\n";
        print "Content-Type: text/plain\r\n\r\ncomplained";
    } else {
        print "Status: 500 Unknown\r\n\r\n";
    }
    $request->Finish();
}
