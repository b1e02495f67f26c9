//! One walk over a text's tokens: where statements begin, what they do, which words tell of an effect.
//!
//! Depends on `lexer`, `words`, `settings`, `names`, `body`, `ddl`. Invariant: a text that can't be read to its end is
//! [`Effects::OPAQUE`], whatever else was found in it.

use super::body::{Language, read_body};
use super::ddl::{self, Place};
use super::effects::Effects;
use super::lexer::{Dialect, Lexer, Token};
use super::names::take_name;
use super::rename::{StatementRef, Use};
use super::words::{Dictionary, Keyword, Sign, WordHash, sign};

/// What a text may do to its session. An analysis without signs has allocated nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Analysis {
    pub effects: Effects,
    /// Settings that may get another value for the session, in lower case, each once.
    pub names: Vec<Box<str>>,
    /// Custom settings (`app.tenant`) set for the transaction only: no value stays, but the backend knows the
    /// name from now on, even after a rollback.
    pub local_custom: Vec<Box<str>>,
    /// A custom setting may be among those, and its name doesn't stand in the text.
    pub local_nameless: bool,
    /// Settings that [change what texts mean](super::MEANING) may be set for the transaction only.
    pub local_meaning: bool,
    /// It fetches from a cursor: what its rows look like is for the cursor to say, each time anew.
    pub fetches: bool,
    /// Where prepared statements are named, in the order of the text.
    pub statements: Vec<StatementRef>,
}

/// How much of the text is at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    Whole,
    /// Its beginning; what follows may do anything.
    Head,
}

/// Reads the text of a Query or Parse message.
///
/// `dialect` is that of the session when the *server* gets the text. Should it be out of date (a change of
/// `standard_conforming_strings` still under way), statements may be missed that command tags will show.
pub fn analyse<D: Dictionary + ?Sized>(
    text: &[u8],
    dialect: Dialect,
    extent: Extent,
    dictionary: &D,
) -> Analysis {
    let mut walk = Walk {
        lexer: Lexer::new(text, dialect),
        dictionary,
        found: Analysis::default(),
        statements: 0,
        kind: Kind::Unbegun,
        depth: 0,
        blocks: 0,
        previous: None,
        pg_settings: false,
        update: false,
    };
    walk.run();
    if extent == Extent::Head || (!dialect.ascii_safe_encoding && !text.is_ascii()) {
        walk.found.effects |= Effects::OPAQUE;
    }
    let mut found = walk.finish();
    if found.effects.contains(Effects::OPAQUE) && ddl::is_quoted_in(text, dialect) {
        found.effects |= Effects::CATALOG;
    }
    found
}

struct Walk<'a, 'd, D: ?Sized> {
    lexer: Lexer<'a>,
    dictionary: &'d D,
    found: Analysis,
    /// Statements begun.
    statements: u32,
    // Of the statement at hand:
    kind: Kind,
    /// Parentheses open.
    depth: u32,
    /// `BEGIN ATOMIC` and `CASE` open in the body of a function.
    blocks: u32,
    /// The keyword just before, if the token just before was one.
    previous: Option<Keyword>,
    // Of the text:
    pg_settings: bool,
    update: bool,
}

/// What decides how the words of a statement are taken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Its first word is still to come.
    Unbegun,
    Create,
    Declare,
    /// `GRANT` or `REVOKE`.
    Grant,
    Other,
}

/// What a `DO` block's words tell, though the block may do anything.
const OF_BLOCKS: Effects = Effects::SEQ_READ.or(Effects::SEQ_WRITE).or(Effects::CATALOG);

impl<D: Dictionary + ?Sized> Walk<'_, '_, D> {
    fn run(&mut self) {
        while let Some(token) = self.lexer.next() {
            let keyword = match token {
                Token::Word(word, hash) => self.word(word, hash),
                other => {
                    self.between_words(other);
                    None
                }
            };
            self.previous = keyword;
        }
    }

    fn finish(mut self) -> Analysis {
        if self.lexer.unterminated() || self.depth > 0 || self.blocks > 0 {
            self.found.effects |= Effects::OPAQUE;
        }
        if self.pg_settings && self.update {
            self.found.effects |= Effects::GUC_ALL;
        }
        if self.statements > 1 {
            self.found.effects = (self.found.effects | Effects::MULTI) - Effects::TX_EXIT;
        }
        self.found
    }

    fn between_words(&mut self, token: Token<'_>) {
        match token {
            Token::Byte(b';') if self.depth == 0 && self.blocks == 0 => self.kind = Kind::Unbegun,
            Token::Byte(b'(') => self.depth += 1,
            Token::Byte(b')') => self.depth = self.depth.saturating_sub(1),
            Token::Quoted(name) => self.quoted(name),
            Token::UnicodeName => self.found.effects |= Effects::OPAQUE,
            Token::Byte(_) | Token::Literal(_) | Token::Word(..) => {}
        }
    }

    /// Returns the word if it is a keyword that the next one may ask for.
    fn word(&mut self, word: &[u8], hash: WordHash) -> Option<Keyword> {
        self.found.effects |= self.dictionary.effects(hash);
        let sign = sign(word, hash);
        if self.kind == Kind::Unbegun {
            self.kind = self.first_word(sign);
            self.statements += u32::from(self.kind != Kind::Unbegun);
        } else if let Some(sign) = sign {
            self.later_word(sign);
        }
        match sign {
            Some(Sign::Keyword(keyword)) => Some(keyword),
            _ => None,
        }
    }

    /// A quoted name may be a function's or a relation's, never a keyword.
    fn quoted(&mut self, name: &[u8]) {
        let hash = WordHash::of(name);
        self.found.effects |= self.dictionary.effects(hash);
        match sign(name, hash) {
            None | Some(Sign::Keyword(_) | Sign::Statement(_)) => {}
            Some(sign) => self.later_word(sign),
        }
    }

    fn first_word(&mut self, sign: Option<Sign>) -> Kind {
        match sign {
            Some(Sign::Statement(effects)) => self.found.effects |= effects,
            Some(Sign::Keyword(keyword)) => return self.statement(keyword),
            _ => {}
        }
        Kind::Other
    }

    /// A statement that begins with this keyword.
    fn statement(&mut self, keyword: Keyword) -> Kind {
        match keyword {
            Keyword::Set => self.found.set(self.lexer),
            Keyword::Reset => self.found.reset(self.lexer),
            Keyword::Begin => self.found.effects |= Effects::TX_BEGIN,
            Keyword::Commit | Keyword::End => return self.exit(),
            Keyword::Explain => return self.explain(),
            Keyword::Fetch => self.found.fetches = true,
            Keyword::Prepare => return self.prepare(),
            Keyword::Execute => self.reference(Use::Execute),
            Keyword::Deallocate => self.deallocate(),
            Keyword::Discard => self.discard(),
            Keyword::Declare => return Kind::Declare,
            Keyword::Do => self.anonymous_block(),
            Keyword::Create => return self.create(),
            Keyword::Alter => self.alter(),
            Keyword::Drop => {
                self.found.effects |= Effects::DDL;
                self.of_sessions_to_come();
            }
            Keyword::Grant => return Kind::Grant,
            Keyword::Update => self.update = true,
            Keyword::Insert | Keyword::Merge => self.found.effects |= Effects::SEQ_WRITE,
            Keyword::As | Keyword::Case | Keyword::Database | Keyword::Into | Keyword::With => {}
        }
        Kind::Other
    }

    /// A word with a sign that isn't its statement's first.
    fn later_word(&mut self, sign: Sign) {
        match sign {
            Sign::Keyword(keyword) => self.later_keyword(keyword),
            Sign::Statement(_) => {}
            Sign::Call(effects) if self.lexer.at_call() => self.found.effects |= effects,
            Sign::CallSets(name) if self.lexer.at_call() => self.found.note_session(name),
            Sign::Call(_) | Sign::CallSets(_) => {}
            Sign::Connect => self.found.connect(self.lexer),
            Sign::SetConfig => self.found.set_config(self.lexer),
            Sign::PgSettings => self.pg_settings = true,
        }
    }

    fn later_keyword(&mut self, keyword: Keyword) {
        match (keyword, self.kind) {
            (Keyword::Update, _) => self.update = true,
            (Keyword::Insert | Keyword::Merge, Kind::Other) => self.found.effects |= Effects::SEQ_WRITE,
            // SELECT … INTO makes a table.
            (Keyword::Into, _) if !matches!(self.previous, Some(Keyword::Insert | Keyword::Merge)) => {
                self.found.effects |= Effects::TEMP | Effects::DDL;
            }
            (Keyword::With, Kind::Declare) if self.lexer.accept("hold") => {
                self.found.effects |= Effects::CURSOR
            }
            (Keyword::Database, Kind::Grant) => self.found.effects |= Effects::DEFAULTS,
            (Keyword::Execute, Kind::Create) if self.previous == Some(Keyword::As) => {
                self.reference(Use::Execute);
            }
            (Keyword::Begin, Kind::Create) if self.blocks == 0 && self.lexer.accept("atomic") => {
                self.blocks = 1
            }
            (Keyword::Case, Kind::Create) if self.blocks > 0 => self.blocks += 1,
            (Keyword::End, Kind::Create) if self.blocks > 0 => self.blocks -= 1,
            _ => {}
        }
    }

    /// `DO [LANGUAGE name] 'body'`: anything may happen, but names of settings in the body are worth knowing,
    /// since PostgreSQL doesn't list the custom ones.
    fn anonymous_block(&mut self) {
        self.found.effects |= Effects::OPAQUE;
        let mut ahead = self.lexer;
        for token in std::iter::from_fn(|| ahead.next()).take(3) {
            if let Token::Literal(Some(body)) = token {
                let body = read_body(body, Language::PlPgSql, |_| {});
                self.found.note_inner(&body);
                self.found.effects |= body.effects & OF_BLOCKS;
            }
        }
    }

    fn exit(&mut self) -> Kind {
        if !self.lexer.accept("prepared") {
            self.found.effects |= Effects::TX_EXIT;
        }
        Kind::Other
    }

    /// Goes behind the options of an `EXPLAIN`, so that its statement comes next.
    fn explain(&mut self) -> Kind {
        if self.lexer.accept_byte(b'(') {
            self.lexer.skip_group();
        } else {
            let _ = self.lexer.accept("analyze") || self.lexer.accept("analyse");
            self.lexer.accept("verbose");
        }
        Kind::Unbegun
    }

    fn prepare(&mut self) -> Kind {
        let mut ahead = self.lexer;
        if ahead.accept("transaction") && matches!(ahead.next(), Some(Token::Literal(_))) {
            return self.exit();
        }
        self.found.effects |= Effects::SQLPREP;
        self.reference(Use::Prepare);
        Kind::Other
    }

    fn deallocate(&mut self) {
        let mut ahead = self.lexer;
        if ahead.accept("prepare") && matches!(ahead.ahead(), Some(Token::Word(..) | Token::Quoted(_))) {
            self.lexer = ahead;
        }
        if self.lexer.accept("all") {
            self.found.effects |= Effects::DEALLOCATE_ALL;
        } else {
            self.reference(Use::Deallocate);
        }
    }

    /// The statement's name stands next. One in Unicode escapes can't be told, but makes the text opaque.
    fn reference(&mut self, usage: Use) {
        if let Some(name) = take_name(&mut self.lexer) {
            if usage != Use::Prepare {
                self.found.effects |= Effects::STMT_REF;
            }
            self.found.statements.push(StatementRef { usage, name, span: self.lexer.span() });
        }
    }

    fn discard(&mut self) {
        self.found.effects |= if self.lexer.accept("all") {
            const ALL: Effects =
                Effects::DISCARD_ALL.or(Effects::GUC_ALL).or(Effects::IDENT).or(Effects::DEALLOCATE_ALL);
            ALL
        } else if self.lexer.accept("temp") || self.lexer.accept("temporary") {
            Effects::DISCARD | Effects::TEMP
        } else {
            Effects::DISCARD
        };
    }

    /// An extension's script and its library may do more than make objects.
    fn create(&mut self) -> Kind {
        self.found.effects |= Effects::TEMP | Effects::DDL | self.catalog();
        if self.lexer.accept("extension") {
            self.found.effects |= Effects::OPAQUE;
        }
        self.of_sessions_to_come();
        Kind::Create
    }

    /// Behind `CREATE` or `ALTER`.
    fn catalog(&self) -> Effects {
        if ddl::changes_catalog(self.lexer, Place::Text) { Effects::CATALOG } else { Effects::NONE }
    }

    fn alter(&mut self) {
        self.found.effects |= Effects::DDL | self.catalog();
        if self.lexer.accept("extension") {
            self.found.effects |= Effects::OPAQUE;
        }
        self.of_sessions_to_come();
    }

    /// Behind `CREATE`, `ALTER` or `DROP`: whether this is about roles or databases.
    fn of_sessions_to_come(&mut self) {
        if self.lexer.accept("database") {
            self.found.effects |= Effects::DATABASE | Effects::DEFAULTS;
        } else if ["role", "user", "group", "system"].iter().any(|word| self.lexer.accept(word)) {
            self.found.effects |= Effects::DEFAULTS;
        }
    }
}
