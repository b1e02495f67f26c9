//! What the body of a routine, or the definition of a view, may do when it runs.
//!
//! Coarser than `analyse`: in PL/pgSQL a statement may begin anywhere, so its keywords count wherever they stand.
//! Depends on `lexer`, `words`, `settings`, `ddl`. Invariant: every word of the body is told to the caller, who knows
//! which of them are routines.

use super::analyse::Analysis;
use super::ddl::{self, Place};
use super::effects::Effects;
use super::lexer::{Dialect, Lexer, Token};
use super::words::{Keyword, Sign, WordHash, sign};

/// How a body is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// Plain SQL, also that of views, defaults and policies.
    Sql,
    PlPgSql,
    /// Any other: its strings may hold SQL, and its variables may outlive the call.
    Other,
}

impl Language {
    /// By `pg_language.lanname`.
    pub fn named(name: &[u8]) -> Self {
        match name {
            b"sql" => Self::Sql,
            b"plpgsql" => Self::PlPgSql,
            _ => Self::Other,
        }
    }
}

/// What running `body` may do by itself, without what the routines do that it calls: each word goes to `mention`,
/// so that the caller can look them up. Names of statements aren't gathered.
pub fn read_body(body: &[u8], language: Language, mention: impl FnMut(WordHash)) -> Analysis {
    match language {
        Language::Sql | Language::PlPgSql => read_sql(body, language, mention),
        Language::Other => Analysis { effects: read_foreign(body, mention), ..Analysis::default() },
    }
}

fn read_sql(body: &[u8], language: Language, mut mention: impl FnMut(WordHash)) -> Analysis {
    let dialect = Dialect::default();
    let mut reader = Reader {
        lexer: Lexer::new(body, dialect),
        language,
        found: Analysis::default(),
        assigning: false,
        previous: None,
        pg_settings: false,
        update: false,
    };
    while let Some(token) = reader.lexer.next() {
        let (word, hash) = match token {
            Token::Word(word, hash) => (word, hash),
            Token::Quoted(name) => (name, WordHash::of(name)),
            other => {
                reader.between_words(other);
                continue;
            }
        };
        mention(hash);
        reader.word(word, sign(word, hash));
    }
    let mut found = reader.finish();
    if found.effects.contains(Effects::OPAQUE) && ddl::is_quoted_in(body, dialect) {
        found.effects |= Effects::CATALOG;
    }
    found
}

struct Reader<'a> {
    lexer: Lexer<'a>,
    language: Language,
    found: Analysis,
    /// An `UPDATE` or `ALTER` stands in this statement, so that its `SET` isn't about settings.
    assigning: bool,
    previous: Option<Keyword>,
    pg_settings: bool,
    update: bool,
}

impl Reader<'_> {
    fn between_words(&mut self, token: Token<'_>) {
        self.previous = None;
        match token {
            Token::Byte(b';') => self.assigning = false,
            Token::UnicodeName => self.found.effects |= Effects::OPAQUE,
            _ => {}
        }
    }

    fn word(&mut self, word: &[u8], sign: Option<Sign>) {
        match sign {
            Some(Sign::Keyword(keyword)) => self.keyword(keyword),
            Some(Sign::Statement(effects)) => self.found.effects |= effects & AMONG_OTHERS,
            Some(Sign::Call(effects)) if self.lexer.at_call() => self.found.effects |= effects,
            Some(Sign::CallSets(name)) if self.lexer.at_call() => self.found.note_session(name),
            Some(Sign::Call(_) | Sign::CallSets(_)) => {}
            Some(Sign::Connect) => self.found.connect(self.lexer),
            Some(Sign::SetConfig) => self.found.set_config(self.lexer),
            Some(Sign::PgSettings) => self.pg_settings = true,
            // A statement of PL/pgSQL may begin behind these.
            None if ["then", "else", "loop"].iter().any(|it| word.eq_ignore_ascii_case(it.as_bytes())) => {
                self.assigning = false;
            }
            None => {}
        }
        self.previous = match sign {
            Some(Sign::Keyword(keyword)) => Some(keyword),
            _ => None,
        };
    }

    fn keyword(&mut self, keyword: Keyword) {
        match keyword {
            Keyword::Set if !self.assigning => self.found.set(self.lexer),
            Keyword::Reset if !self.assigning => self.found.reset(self.lexer),
            Keyword::Insert | Keyword::Merge => self.found.effects |= Effects::SEQ_WRITE,
            Keyword::Update => (self.update, self.assigning) = (true, true),
            Keyword::Alter => {
                self.assigning = true;
                self.found.effects |= self.catalog();
            }
            Keyword::Begin => self.assigning = false,
            Keyword::Create => self.found.effects |= Effects::TEMP | self.catalog(),
            Keyword::With if self.lexer.accept("hold") => self.found.effects |= Effects::CURSOR,
            // Elsewhere INTO names variables.
            Keyword::Into
                if self.language == Language::Sql
                    && !matches!(self.previous, Some(Keyword::Insert | Keyword::Merge)) =>
            {
                self.found.effects |= Effects::TEMP;
            }
            Keyword::Execute | Keyword::Prepare | Keyword::Deallocate | Keyword::Discard => {
                self.found.effects |= Effects::OPAQUE;
            }
            _ => {}
        }
    }

    /// Behind `CREATE` or `ALTER`.
    fn catalog(&self) -> Effects {
        if ddl::changes_catalog(self.lexer, Place::Body) { Effects::CATALOG } else { Effects::NONE }
    }

    fn finish(mut self) -> Analysis {
        if self.pg_settings && self.update {
            self.found.effects |= Effects::GUC_ALL;
        }
        if self.lexer.unterminated() {
            self.found.effects |= Effects::OPAQUE;
        }
        self.found
    }
}

/// Statements whose keyword is seldom anything else. `DO` also follows `ON CONFLICT`; a `CALL` tells its routine.
const AMONG_OTHERS: Effects = Effects::LISTEN.or(Effects::LOAD);

/// No lexer for these: every word counts, in strings and comments too.
fn read_foreign(body: &[u8], mut mention: impl FnMut(WordHash)) -> Effects {
    let mut effects = Effects::NONE;
    let words = body.split(|byte| !(byte.is_ascii_alphanumeric() || *byte == b'_' || *byte >= 0x80));
    for word in words.filter(|word| !word.is_empty()) {
        let hash = WordHash::of(word);
        mention(hash);
        effects |= match (word, sign(word, hash)) {
            // plpython and pltcl; plperl.
            (b"GD" | b"SD" | b"_SHARED", _) => Effects::PL_GLOBALS,
            (_, Some(Sign::Call(effects))) => effects,
            (_, Some(Sign::CallSets(_))) => Effects::GUC_ALL,
            (_, Some(Sign::Connect)) => Effects::EXTCONN | Effects::EXTCONN_UNNAMED,
            (_, Some(Sign::SetConfig)) => Effects::GUC_ALL | Effects::NAMELESS,
            (_, Some(Sign::Statement(effects))) => effects & AMONG_OTHERS,
            (_, Some(Sign::Keyword(Keyword::Execute | Keyword::Prepare))) => Effects::OPAQUE,
            _ if word.starts_with(b"spi") => Effects::OPAQUE,
            _ => Effects::NONE,
        };
    }
    effects
}
